"""Rules about rows with a missing part: no prompt, no answer, or an unknown speaker."""

from collections import Counter
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import CheckContext, CheckResult, CheckRow, to_set_aside


def no_question(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    found = list(context.marked("no_question"))
    yield from to_set_aside(
        "no_question",
        Severity.WARNING,
        found,
        message=ngettext(
            "%(n)s example has no question", "%(n)s examples have no question", len(found)
        )
        % {"n": len(found)},
        why=_("Nobody asks anything there, so the model would learn to answer without a question."),
    )


def no_answer(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    found = list(context.marked("no_answer"))
    yield from to_set_aside(
        "no_answer",
        Severity.ERROR,
        found,
        message=ngettext("%(n)s example has no answer", "%(n)s examples have no answer", len(found))
        % {"n": len(found)},
        why=_(
            "There is nothing to learn from a question alone. Write the answer, or set it aside."
        ),
    )


def unknown_role(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    unknown = context.marked("unknown_role")
    names = Counter(marks[0].what for marks in unknown.values()).most_common(1)
    yield from to_set_aside(
        "unknown_role",
        Severity.ERROR,
        list(unknown),
        message=ngettext(
            "In %(n)s example we don’t know who “%(who)s” is",
            "In %(n)s examples we don’t know who “%(who)s” is",
            len(unknown),
        )
        % {"n": len(unknown), "who": names[0][0] if names else ""},
        why=_("A model learns from what the assistant says, so it must be clear who speaks."),
    )
