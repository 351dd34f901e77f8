"""Rules about answers that teach the wrong thing."""

from collections import Counter
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import (
    CheckContext,
    CheckResult,
    CheckRow,
    spans_of,
    to_set_aside,
)
from finetune_app.checks.rules.labels import closed_set
from finetune_app.goals.measures import MeasureError, get_measure

MAX_REFUSAL_SHARE = 0.2  # of all answers


def blank_answer(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    """A placeholder instead of an answer. “None” only counts where answers are free text."""
    found = set(context.marked("blank_answer"))
    if closed_set(rows, context) is None:
        found |= set(context.marked("perhaps_blank"))
    else:
        found = {pk for pk in found if pk not in _own_labels(rows, context)}
    yield from to_set_aside(
        "blank_answer",
        Severity.WARNING,
        sorted(found),
        message=ngettext(
            "%(n)s answer is only a placeholder, such as “N/A”",
            "%(n)s answers are only placeholders, such as “N/A”",
            len(found),
        )
        % {"n": len(found)},
        why=_(
            "The model would learn to answer just that. Write what it should say, or set it aside."
        ),
    )


def _own_labels(rows: list[CheckRow], context: CheckContext) -> set[int]:
    own = set(context.labels)
    return {row.pk for row in rows if row.answer.strip() in own} if own else set()


def copied_answer(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    found = list(context.marked("copied_answer"))
    yield from to_set_aside(
        "copied_answer",
        Severity.WARNING,
        found,
        message=ngettext(
            "%(n)s answer only repeats the question",
            "%(n)s answers only repeat the question",
            len(found),
        )
        % {"n": len(found)},
        why=_(
            "That teaches the model to repeat the question. Leave them if the text really "
            "needed no change."
        ),
    )


def refusals(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    found = context.marked("refusals")
    if len(found) > MAX_REFUSAL_SHARE * len(rows):
        yield CheckResult(
            check="refusals",
            severity=Severity.WARNING,
            message=_("%(share)s of answers say “I can’t”: %(n)s of %(all)s")
            % {"share": f"{len(found) / len(rows):.0%}", "n": len(found), "all": len(rows)},
            why=_(
                "The model would refuse about as often, even where it could answer. Keep only "
                "those you really want."
            ),
            examples=list(found),
            spans=spans_of(found),
        )


def fails_measure(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    """Reference answers that fail the goal's own success measure."""
    try:
        measure = get_measure(context.measure, context.measure_settings)
    except MeasureError:
        return
    if measure.needs_person:
        return
    missed: dict[int, str] = {}
    for row in rows:
        score = measure.check(row.answer, row.answer)
        if not score.passed:
            missed[row.pk] = score.why
    if missed:
        most, how_many = Counter(missed.values()).most_common(1)[0]
        reason = _("Most often: %(why)s (%(n)s).") % {"why": most, "n": how_many}
        yield CheckResult(
            check="measure",
            severity=Severity.WARNING,
            message=ngettext(
                "%(n)s answer would fail your own success measure",
                "%(n)s answers would fail your own success measure",
                len(missed),
            )
            % {"n": len(missed)},
            why=reason + " " + _("The model would learn what you count as wrong."),
            examples=list(missed),
        )


def same_answers(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    """Pairs whose two answers are the same: an import or an edit refuses them, but an answer may
    have become the worse one since."""
    found = [row.pk for row in rows if row.rejected and row.rejected.strip() == row.answer.strip()]
    if found:
        yield CheckResult(
            check="same_answers",
            severity=Severity.WARNING,
            message=ngettext(
                "The better and the worse answer of %(n)s pair are the same",
                "The better and the worse answer of %(n)s pairs are the same",
                len(found),
            )
            % {"n": len(found)},
            why=_(
                "Nothing can be learned from the difference. Without the worse one they are "
                "examples like others."
            ),
            examples=found,
            fix="unpair",
            fix_label=_("Remove the worse answer of %(n)s") % {"n": len(found)},
        )
