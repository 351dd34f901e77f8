"""The rule about rows that two people answered differently; see also labelling/agreement.py."""

from collections.abc import Iterator

from django.utils.translation import gettext as _

from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import CheckContext, CheckResult, CheckRow

MIN_AGREEMENT = 0.7  # share of doubly labelled rows
MIN_TWICE = 5  # rows that two people labelled


def disagreement(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    """Two people who labelled the same rows independently disagree too often."""
    twice, apart = context.labelled_twice, len(context.disagreed)
    if twice >= MIN_TWICE and twice - apart < MIN_AGREEMENT * twice:
        yield CheckResult(
            check="disagreement",
            severity=Severity.WARNING,
            message=_("Two people disagree on %(n)s of %(all)s examples")
            % {"n": apart, "all": twice},
            why=_(
                "The model can’t do better than you do. Talk about what is right, write it into "
                "the guidelines, then decide these."
            ),
            examples=context.disagreed,
        )
