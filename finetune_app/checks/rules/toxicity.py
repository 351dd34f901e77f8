"""The rule about rude and hateful texts; worker/checks/toxicity_and_tokens.py scores them."""

from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import CheckContext, CheckResult, CheckRow

MIN_TOXICITY = 0.8  # the probability from which a text counts as rude


def toxic(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    found = [pk for pk, scan in context.scans.items() if (scan.toxic or 0) >= MIN_TOXICITY]
    if found:
        yield CheckResult(
            check="toxic",
            severity=Severity.WARNING,
            message=ngettext(
                "%(n)s example may be rude or hateful",
                "%(n)s examples may be rude or hateful",
                len(found),
            )
            % {"n": len(found)},
            why=_(
                "Please read them. What an angry customer writes may stay; what the model should "
                "never say may not. Only English is judged."
            ),
            examples=found,
        )
