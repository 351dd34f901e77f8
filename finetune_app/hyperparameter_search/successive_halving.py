"""How far each trial goes, which of them go on, and which one wins.

All trials go a sixth of their way; the best three go on to a third of it, and the best two to half.
The automatic settings always go on, so that whatever wins was compared with them over as long a
way. That work is about that of two whole trainings.

A trial follows the learning rate of its whole training, cut off: at the end of a rung all trials
have read the same share of the examples and stand at the same place of their schedule, and what
goes on need not begin again. A rate that is still high scores lower than it will at its end, so the
doubled rate is judged a little too strictly: it takes more to replace the automatic settings.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from finetune_app.hyperparameter_search.trials import AUTOMATIC
from finetune_app.training.best_step import quality

MIN_LOSS_GAIN = 0.02  # of the loss, where no measure can tell
ROUNDING = 1e-9


@dataclass(frozen=True)
class Rung:
    """share: of the steps of a whole training. trials: how many take part."""

    share: float
    trials: int


RUNGS = (Rung(1 / 6, 6), Rung(1 / 3, 3), Rung(1 / 2, 2))


@dataclass(frozen=True)
class Outcome:
    """What a trial reached at the end of a rung; see worker/training/validation.py.

    prompts: how many practice prompts the score is the mean of.
    """

    score: float | None
    loss: float | None
    prompts: int

    @property
    def is_measured(self) -> bool:
        """False of a trial that could not run, or whose loss is no number."""
        return self.score is not None or self.loss is not None


def work(trials: int) -> float:
    """Of a search, in whole trainings."""
    before, total = 0.0, 0.0
    for rung in RUNGS:
        total += min(rung.trials, trials) * (rung.share - before)
        before = rung.share
    return total


def survivors(outcomes: Mapping[int, Outcome], count: int) -> list[int]:
    """The automatic settings and the best of the others that could run, by the number of the
    trial."""
    others = sorted(
        (trial for trial, one in outcomes.items() if trial != AUTOMATIC and one.is_measured),
        key=lambda trial: quality(outcomes[trial].score, outcomes[trial].loss),
        reverse=True,
    )
    return sorted([AUTOMATIC, *others[: count - 1]])


def winner(outcomes: Mapping[int, Outcome]) -> int:
    """The best trial of the last rung. The automatic settings win unless another one answers more
    than one prompt more: a single prompt is often chance."""
    best = max(_ranked(outcomes), key=lambda one: one[1])[0]
    return best if is_better(outcomes[best], outcomes[AUTOMATIC]) else AUTOMATIC


def is_better(one: Outcome, automatic: Outcome) -> bool:
    if one.score is not None and automatic.score is not None:
        return (one.score - automatic.score) * one.prompts > 1 + ROUNDING
    if one.loss is None or automatic.loss is None:
        return False
    return one.loss < automatic.loss * (1 - MIN_LOSS_GAIN)


def _ranked(outcomes: Mapping[int, Outcome]) -> Iterable[tuple[int, tuple[float, float]]]:
    return ((trial, quality(one.score, one.loss)) for trial, one in outcomes.items())
