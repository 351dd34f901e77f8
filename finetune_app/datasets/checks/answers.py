"""Answers that are missing, speakers nobody knows, answers that miss the goal's own measure."""

from collections import Counter
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.datasets.checks.base import About, Found, Row
from finetune_app.datasets.models import Severity
from finetune_app.goals.measures import MeasureError, get_measure

ROLES = {"system", "user", "assistant"}


def no_answer(rows: list[Row], about: About) -> Iterator[Found]:
    found = [
        row.pk
        for row in rows
        if not row.messages
        or row.messages[-1].get("role") != "assistant"
        or not row.messages[-1].get("content", "").strip()
    ]
    if found:
        yield Found(
            check="no_answer",
            severity=Severity.ERROR,
            message=ngettext(
                "%(n)s example has no answer", "%(n)s examples have no answer", len(found)
            ) % {"n": len(found)},
            why=_("There is nothing to learn from a question alone. Write the answer, or set it "
                  "aside."),
            examples=found,
            fix="set_aside",
            fix_label=_("Set %(n)s aside") % {"n": len(found)},
        )


def unknown_role(rows: list[Row], about: About) -> Iterator[Found]:
    strange: dict[int, str] = {}
    for row in rows:
        odd = [m.get("role") for m in row.messages if m.get("role") not in ROLES]
        if odd:
            strange[row.pk] = str(odd[0])
    if strange:
        who = Counter(strange.values()).most_common(1)[0][0][:40]
        yield Found(
            check="unknown_role",
            severity=Severity.ERROR,
            message=ngettext(
                "In %(n)s example we don’t know who “%(who)s” is",
                "In %(n)s examples we don’t know who “%(who)s” is",
                len(strange),
            ) % {"n": len(strange), "who": who},
            why=_("A model learns from what the assistant says, so it must be clear who speaks."),
            examples=list(strange),
            fix="set_aside",
            fix_label=_("Set %(n)s aside") % {"n": len(strange)},
        )


def misses_measure(rows: list[Row], about: About) -> Iterator[Found]:
    """Wanted answers that would themselves fail. They teach what you count as wrong."""
    try:
        measure = get_measure(about.measure, about.measure_settings)
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
        yield Found(
            check="measure",
            severity=Severity.WARNING,
            message=ngettext(
                "%(n)s answer would fail your own success measure",
                "%(n)s answers would fail your own success measure",
                len(missed),
            ) % {"n": len(missed)},
            why=reason + " " + _("The model would learn what you count as wrong."),
            examples=list(missed),
        )
