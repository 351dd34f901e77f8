"""The measures on the page that chooses one: grouped by kind of task, each with its settings and
what an answer without any model would score by it."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from finetune_app.goals.embedding import with_embedder
from finetune_app.goals.forms import MEASURE_HINTS, MeasureForm
from finetune_app.goals.measures import KINDS, MeasureError, Proposal, get_measure
from finetune_app.goals.models import Goal, MeasureKind
from finetune_app.goals.trivial_check import TrivialCheck, check_measure

GROUPS: tuple[tuple[str | Promise, tuple[MeasureKind, ...]], ...] = (
    (_("One right answer"), (MeasureKind.EXACT, MeasureKind.NUMBER, MeasureKind.REFUSAL)),
    (_("Fields and lists"), (MeasureKind.JSON, MeasureKind.XML, MeasureKind.ITEMS)),
    (_("Commands and codes"), (MeasureKind.BASH, MeasureKind.PATTERN)),
    (
        _("Sentences and longer texts"),
        (MeasureKind.CHOICE, MeasureKind.CLOSE, MeasureKind.ROUGE, MeasureKind.MEANING),
    ),
    (_("The form alone"), (MeasureKind.RULES,)),
)
EMBEDDING_SECONDS = 5.0  # a page does not wait longer for the model that compares meanings


@dataclass(frozen=True)
class MeasureCard:
    """`radio` chooses it; `summary` and `trivial` are those of its settings as they are saved."""

    kind: str
    name: str | Promise
    hint: str | Promise
    radio: forms.boundfield.BoundWidget
    settings: list[forms.BoundField]
    suggested: bool
    summary: str
    trivial: TrivialCheck | None


@dataclass(frozen=True)
class MeasureGroup:
    name: str | Promise
    cards: list[MeasureCard]


def measure_groups(goal: Goal, form: MeasureForm, proposal: Proposal) -> list[MeasureGroup]:
    """All of them, that of the chosen measure (else of the proposed one) first."""
    chosen = goal.measure or proposal.kind
    radios = {radio.data["value"]: radio for radio in form["measure"].subwidgets}
    return [
        MeasureGroup(name, [_card(goal, form, proposal, kind, radios[kind]) for kind in kinds])
        for name, kinds in sorted(GROUPS, key=lambda group: chosen not in group[1])
    ]


def _card(
    goal: Goal, form: MeasureForm, proposal: Proposal, kind: MeasureKind, radio: Any
) -> MeasureCard:
    summary, trivial = _with_settings(goal, kind, proposal)
    return MeasureCard(
        kind=kind.value,
        name=kind.label,
        hint=MEASURE_HINTS[kind],
        radio=radio,
        settings=form.settings_of(kind.value),
        suggested=kind == proposal.kind,
        summary=summary,
        trivial=trivial,
    )


def _with_settings(
    goal: Goal, kind: MeasureKind, proposal: Proposal
) -> tuple[str, TrivialCheck | None]:
    """When an answer is right by this measure, and what a trivial one scores; empty where the
    settings are still to be made."""
    chosen = goal.measure or proposal.kind
    if kind == chosen:
        settings = goal.measure_settings if goal.measure else proposal.settings
    elif KINDS[kind].needs_embedder:  # would let the page wait for a model that nobody asked for
        return get_measure(kind).summary(), None
    else:
        settings = {}
    try:
        measure = with_embedder(get_measure(kind, settings), goal, EMBEDDING_SECONDS)
    except MeasureError:
        return "", None
    return measure.summary(), check_measure(measure, goal.pairs)
