"""The page's tables of what exactly is right: field by field, or label by label.

For base and ours, on the prompts that both answered. Read from the stored answers, so that nothing
of it can differ from what was measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypedDict

from django.utils.translation import gettext as _

from finetune_app.datasets.label_sets import LabelLimits
from finetune_app.evaluation.label_scores import LabelScores
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.services import ours_in_sentences
from finetune_app.goals.measures import Measure
from finetune_app.goals.measures.field_scores import FieldPair, Fields, FieldScore, scores_by_name

LABELS = LabelLimits(30, 2)  # with so few rows for each, a test set of labels is small
MAX_LABEL_CHARACTERS = 60
MAX_MATRIX_LABELS = 12  # a wider table is no longer read
MAX_FIELD_ROWS = 20
MAX_MIXUPS = 5
MAX_CONFUSED_FIELDS = 6  # with a confusion table each
MISSING = "\0"  # instead of the value of a field that an answer lacks


@dataclass(frozen=True)
class PromptAnswers:
    """What was wanted, what base and ours answered, and whether that was right as a whole."""

    wanted: str
    base: str
    ours: str
    base_right: bool = False
    ours_right: bool = False


@dataclass(frozen=True)
class ScoreRow:
    """One field or label, with the scores of base and ours."""

    name: str
    base: FieldScore
    ours: FieldScore


@dataclass(frozen=True)
class FieldTable:
    """`left_out`: how many rarer fields have no row; the total holds them, too. `whole_base` and
    `whole_ours`: answers that are right as a whole, of `prompts`. `confusions`: of the fields with
    few different values."""

    rows: list[ScoreRow]
    total: ScoreRow
    left_out: int
    prompts: int
    whole_base: int
    whole_ours: int
    confusions: list[FieldConfusion]


@dataclass(frozen=True)
class MatrixCell:
    """How often; `right` on the diagonal."""

    count: int
    right: bool


@dataclass(frozen=True)
class MatrixRow:
    """The answers where one label was wanted; `other`: those that are no label."""

    label: str
    cells: list[MatrixCell]
    other: int


@dataclass(frozen=True)
class MixupRow:
    wanted: str
    given: str
    count: int


@dataclass(frozen=True)
class LabelTable:
    """`matrix_base` and `matrix_ours` are the confusion tables; empty with too many labels."""

    rows: list[ScoreRow]
    base: LabelScores
    ours: LabelScores
    mixups: list[MixupRow]
    matrix_base: list[MatrixRow]
    matrix_ours: list[MatrixRow]
    prompts: int


@dataclass(frozen=True)
class FieldConfusion:
    """The values of one field as labels."""

    name: str
    labels: LabelTable


class Breakdown(TypedDict):
    """The context of _breakdown.html; `ours` is the name of ours in a sentence."""

    ours: str
    fields: FieldTable | None
    labels: LabelTable | None


def breakdown_of(evaluation: Evaluation) -> Breakdown | None:
    """None where the answers have neither fields nor labels, or a person decides."""
    measure = evaluation.get_measure()
    if measure.needs_person:
        return None
    prompts = _answered_prompts(evaluation)
    fields = field_table(measure, prompts)
    labels = None if fields else label_table(measure, prompts)
    if not fields and not labels:
        return None
    return {"ours": ours_in_sentences(evaluation), "fields": fields, "labels": labels}


def _answered_prompts(evaluation: Evaluation) -> list[PromptAnswers]:
    wanted = {one.index: one.wanted for one in evaluation.comparisons.all()}
    base, ours = (
        {one.index: one for one in evaluation.answers_of(candidate)}
        for candidate in (evaluation.base, evaluation.ours)
    )
    return [
        PromptAnswers(
            text,
            base[index].text,
            ours[index].text,
            bool(base[index].passed),
            bool(ours[index].passed),
        )
        for index, text in wanted.items()
        if index in base and index in ours
    ]


def field_table(measure: Measure, prompts: Sequence[PromptAnswers]) -> FieldTable | None:
    base, ours = _field_pairs(measure, prompts)
    if not ours or 2 * len(ours) < len(prompts):  # only a few answers happen to look like fields
        return None
    of_base, of_ours = scores_by_name(base), scores_by_name(ours)
    # A field that only base made up is in its total, and no row of the page.
    by_size = sorted(of_ours.items(), key=lambda one: (-one[1].wanted, -one[1].given))
    rows = [ScoreRow(name, of_base.get(name, FieldScore()), score) for name, score in by_size]
    return FieldTable(
        rows=rows[:MAX_FIELD_ROWS] if len(rows) > 1 else [],
        total=ScoreRow(
            _("All fields together"),
            sum(of_base.values(), FieldScore()),
            sum(of_ours.values(), FieldScore()),
        ),
        left_out=max(len(rows) - MAX_FIELD_ROWS, 0),
        prompts=len(prompts),
        whole_base=sum(one.base_right for one in prompts),
        whole_ours=sum(one.ours_right for one in prompts),
        confusions=_confusions([row.name for row in rows[:MAX_FIELD_ROWS]], base, ours),
    )


def _confusions(
    names: Sequence[str], base: Sequence[FieldPair], ours: Sequence[FieldPair]
) -> list[FieldConfusion]:
    """Of the fields whose values are labels, as far as a confusion table is readable."""
    found = []
    for name in names:
        of_base, of_ours = _value_pairs(name, base), _value_pairs(name, ours)
        known = {wanted for wanted, _given in of_ours}
        if len(known) <= MAX_MATRIX_LABELS and _are_few(known, len(of_ours)):
            found.append(FieldConfusion(name, _label_table(of_base, of_ours, _shown_value)))
    return found[:MAX_CONFUSED_FIELDS]


def _value_pairs(name: str, pairs: Sequence[FieldPair]) -> list[tuple[str, str]]:
    """(wanted, given) of a field that stands once in each answer; [] where one holds several, as a
    list does."""
    found = []
    for pair in pairs:
        wanted, got = _values(name, pair.wanted), _values(name, pair.got)
        if len(wanted) > 1:
            return []
        if wanted:
            found.append((wanted[0], got[0] if len(got) == 1 else MISSING))
    return found


def _values(name: str, fields: Fields) -> list[str]:
    return [field.value for field in fields.elements() if field.name == name]


def _shown_value(value: str) -> str:
    """A text of JSON without its quotation marks."""
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def _field_pairs(
    measure: Measure, prompts: Sequence[PromptAnswers]
) -> tuple[list[FieldPair], list[FieldPair]]:
    base, ours = [], []
    for prompt in prompts:
        of_base = measure.fields(prompt.base, prompt.wanted)
        of_ours = measure.fields(prompt.ours, prompt.wanted)
        if of_base is not None and of_ours is not None:
            base.append(of_base)
            ours.append(of_ours)
    return base, ours


def label_table(measure: Measure, prompts: Sequence[PromptAnswers]) -> LabelTable | None:
    if not are_labels(measure, [prompt.wanted for prompt in prompts]):
        return None
    return _label_table(
        _label_pairs(measure, [(one.wanted, one.base) for one in prompts]),
        _label_pairs(measure, [(one.wanted, one.ours) for one in prompts]),
    )


def _label_table(
    of_base: Sequence[tuple[str, str]],
    of_ours: Sequence[tuple[str, str]],
    show: Callable[[str], str] = str,
) -> LabelTable:
    """From (wanted, given) labels; `show` gives a label's text for the page."""
    base, ours = LabelScores(of_base), LabelScores(of_ours)
    few = len(ours.labels) <= MAX_MATRIX_LABELS
    return LabelTable(
        rows=[ScoreRow(show(one), base.score(one), ours.score(one)) for one in ours.labels],
        base=base,
        ours=ours,
        mixups=[
            MixupRow(
                show(one.wanted),
                _("something else") if one.given is None else show(one.given),
                one.count,
            )
            for one in ours.mixups(MAX_MIXUPS)
        ],
        matrix_base=_matrix(base, show) if few else [],
        matrix_ours=_matrix(ours, show) if few else [],
        prompts=len(of_ours),
    )


def are_labels(measure: Measure, wanted: Sequence[str]) -> bool:
    """Whether the wanted answers are a few short ones, each of them wanted several times."""
    labels = [measure.label(text) for text in wanted]
    known = {label for label in labels if label is not None}
    return None not in labels and _are_few(known, len(labels))


def _are_few(known: Collection[str], answers: int) -> bool:
    """Whether so many answers with these different texts are a set of short labels."""
    short = all(len(label) <= MAX_LABEL_CHARACTERS and "\n" not in label for label in known)
    return short and LABELS.accept(len(known), answers)


def _label_pairs(measure: Measure, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(measure.label(wanted) or "", measure.label(given) or "") for wanted, given in pairs]


def _matrix(scores: LabelScores, show: Callable[[str], str]) -> list[MatrixRow]:
    return [
        MatrixRow(
            show(wanted),
            [MatrixCell(scores.counts[wanted, one], one == wanted) for one in scores.labels],
            scores.counts[wanted, None],
        )
        for wanted in scores.labels
    ]
