"""The page's table of answers that need no model, beside the scores of ours."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from finetune_app.evaluation.models import Answer, Evaluation, TrivialAnswer
from finetune_app.evaluation.outcomes import paired_outcome, trivial_answers_of
from finetune_app.evaluation.recommendation import MethodScores
from finetune_app.evaluation.verdict.sentences import TRIVIAL
from finetune_app.evaluation.verdict.statistics import split_of
from finetune_app.evaluation.verdict.types import TrivialBaseline


@dataclass(frozen=True)
class TrivialRow:
    """`result`: its score, as text. `wins` and `losses`: of ours against it, in prompts.
    `example`: its first answer."""

    label: str
    result: str
    wins: int
    losses: int
    example: str


def trivial_rows(evaluation: Evaluation) -> list[TrivialRow]:
    """The best of them first; empty where none were scored."""
    graded = evaluation.get_measure().graded
    ours = {one.index: one for one in evaluation.answers_of(evaluation.ours)}
    rows = []
    for baseline, given in trivial_answers_of(evaluation).items():
        scores = trivial_scores(baseline, list(given.values()), graded)
        split = split_of(_signs(given, ours, graded))
        label = str(TrivialAnswer.Baseline(baseline).label)
        example = next(iter(given.values())).text
        rows.append((scores.mean, TrivialRow(label, scores.result, split[0], split[2], example)))
    return [row for _mean, row in sorted(rows, key=lambda one: -one[0])]


def trivial_scores(
    baseline: TrivialBaseline, answers: list[TrivialAnswer], graded: bool
) -> MethodScores:
    """In the order of the answers."""
    return MethodScores(
        name=_(TRIVIAL[baseline]),
        effort=(-1, 0),
        scores=tuple(one.score if graded else float(one.passed) for one in answers),
        graded=graded,
    )


def _signs(given: dict[int, TrivialAnswer], ours: dict[int, Answer], graded: bool) -> list[int]:
    return [
        paired_outcome(one, ours[index], graded=graded).sign
        for index, one in given.items()
        if index in ours
    ]
