"""Rules about rows with a missing part: prompt, answer, instructions, or an unknown speaker."""

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


def mixed_instructions(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    instructed = set(context.marked("instructed"))
    without = [row.pk for row in rows if row.pk not in instructed]
    if instructed and without:
        yield CheckResult(
            check="instructions",
            severity=Severity.INFO,
            message=ngettext(
                "%(n)s example has instructions, %(others)s have none",
                "%(n)s examples have instructions, %(others)s have none",
                len(instructed),
            )
            % {"n": len(instructed), "others": len(without)},
            why=_(
                "In use every question comes with the same instructions or with none, so the "
                "examples should too."
            ),
            examples=without if len(without) < len(instructed) else sorted(instructed),
            fix="same_instructions" if len(without) < len(instructed) else "no_instructions",
            fix_label=_("Give them to all")
            if len(without) < len(instructed)
            else _("Remove them from %(n)s") % {"n": len(instructed)},
        )
