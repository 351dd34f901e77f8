"""The report as PDF, set by a child process: what the typesetter keeps in memory ends with it."""

import json
import logging
import subprocess
import sys
from dataclasses import asdict

from django.conf import settings
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError
from finetune_app.evaluation.report.contents import Report

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60


def pdf_report(report: Report) -> bytes:
    """Raises PlainError if the child fails or takes too long."""
    words = {
        "better": _("better"),
        "same": _("the same"),
        "worse": _("worse"),
        "needed": _("more would settle it"),
        "missing": _(
            "Some characters are missing, because no font here has them. The report as a web page "
            "shows them all."
        ),
    }
    document = asdict(report) | {"words": words, "language": (get_language() or "en")[:2]}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "worker.report_pdf"],
            cwd=settings.BASE_DIR,
            input=json.dumps(document).encode(),
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=True,
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        log.error("no PDF of a report: %s: %s", error, (error.stderr or b"")[-2000:].decode())
        raise PlainError(
            _("The PDF could not be made. Take the report to read and print that instead."),
            status=503,
            title=_("No PDF just now"),
        ) from error
    return done.stdout
