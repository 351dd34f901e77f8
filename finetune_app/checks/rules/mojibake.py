"""The rule about characters that were read with the wrong encoding."""

from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import CheckContext, CheckResult, CheckRow, spans_of


def broken_characters(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    found = context.marked("broken")
    if found:
        yield CheckResult(
            check="broken",
            severity=Severity.WARNING,
            message=ngettext(
                "Some characters of %(n)s example look broken",
                "Some characters of %(n)s examples look broken",
                len(found),
            )
            % {"n": len(found)},
            why=_(
                "The file was probably read with the wrong encoding once. We can restore what is "
                "not lost."
            ),
            examples=list(found),
            spans=spans_of(found),
            fix="mend_characters",
            fix_label=_("Repair %(n)s") % {"n": len(found)},
        )
