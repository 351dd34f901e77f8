"""What the participants of an evaluation scored at each prompt, and how two of them compare."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import cast, get_args

from finetune_app.evaluation.models import Answer, Comparison, Evaluation, TrivialAnswer
from finetune_app.evaluation.verdict.types import PairedOutcome, TrivialBaseline

OUTCOME_SIGNS = {
    Comparison.Outcome.BETTER: 1,
    Comparison.Outcome.SAME: 0,
    Comparison.Outcome.WORSE: -1,
}
OUTCOME_OF_SIGN = {sign: outcome for outcome, sign in OUTCOME_SIGNS.items()}


@dataclass(frozen=True)
class PromptResult:
    """The result at one prompt.

    `index` is the prompt's position in the test. `scores`: id of a candidate, or name of a trivial
    baseline -> its score (1 and 0 where there is right and wrong); None where the prompt was too
    long for it. `chosen`: +1 where people preferred ours, -1 base, 0 neither; None where a measure
    decides.
    """

    index: int
    group: str
    scores: dict[str, float | None]
    chosen: int | None = None

    def of(self, ours: int | str, other: int | str, *, graded: bool) -> PairedOutcome | None:
        """Ours against another participant; None where one of them was not asked, or the prompt was
        too long for the other one alone: nobody won that."""
        scores = self.scores
        if not {str(ours), str(other)} <= scores.keys():
            return None
        mine, theirs = scores[str(ours)], scores[str(other)]
        if theirs is None and mine is not None:
            return None
        return _paired(theirs or 0.0, mine or 0.0, graded, self.group or None)


def results_of(evaluation: Evaluation) -> list[PromptResult]:
    """Those of the prompts that are decided, in their order."""
    graded, by_people = evaluation.get_measure().graded, evaluation.needs_person
    answers: dict[int, list[Answer]] = {}
    for answer in evaluation.answers.all():
        answers.setdefault(answer.index, []).append(answer)
    trivial = trivial_answers_of(evaluation)
    found = []
    for row in evaluation.comparisons.decided():
        scores = {
            str(one.candidate_id): None if one.refused else _score(one, graded)
            for one in answers.get(row.index, ())
        }
        scores |= {
            name: _score(given[row.index], graded)
            for name, given in trivial.items()
            if row.index in given
        }
        sign = OUTCOME_SIGNS[Comparison.Outcome(row.outcome)]
        found.append(
            PromptResult(
                index=row.index,
                group=row.group,
                scores={} if by_people else scores,
                chosen=sign if by_people else None,
            )
        )
    return found


def outcomes(
    results: Iterable[PromptResult], ours: int | str, other: int | str, *, graded: bool
) -> list[PairedOutcome]:
    """Ours against another participant, at the prompts where that can be said."""
    found = [one.of(ours, other, graded=graded) for one in results]
    return [one for one in found if one is not None]


def choices(results: Iterable[PromptResult]) -> list[PairedOutcome]:
    """What people preferred."""
    chosen = [one for one in results if one.chosen is not None]
    return [PairedOutcome(one.chosen or 0, group=one.group or None) for one in chosen]


def trivial_names(results: Collection[PromptResult]) -> list[TrivialBaseline]:
    """The trivial baselines that were scored."""
    scored = {name for one in results for name in one.scores}
    return [name for name in get_args(TrivialBaseline) if name in scored]


def trivial_answers_of(evaluation: Evaluation) -> dict[TrivialBaseline, dict[int, TrivialAnswer]]:
    """By baseline, then by the index of the prompt."""
    found: dict[TrivialBaseline, dict[int, TrivialAnswer]] = {}
    for one in evaluation.trivial_answers.all():
        found.setdefault(cast(TrivialBaseline, one.baseline), {})[one.index] = one
    return found


def paired_outcome(
    base: Answer | TrivialAnswer, ours: Answer, *, graded: bool, group: str | None = None
) -> PairedOutcome:
    return _paired(_score(base, graded), _score(ours, graded), graded, group)


def _score(answer: Answer | TrivialAnswer, graded: bool) -> float:
    return (answer.score or 0.0) if graded else float(bool(answer.passed))


def _paired(base: float, ours: float, graded: bool, group: str | None) -> PairedOutcome:
    if graded:
        return PairedOutcome.of_scores(base, ours, group)
    return PairedOutcome.of_passes(bool(base), bool(ours), group)
