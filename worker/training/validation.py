"""What the validation examples say while the model learns: when they are read, which step is best,
and when to end early.

A run is measured at a few steps. The best step is the one whose answers do best by the goal's own
measure; the loss decides between equals, and alone where no measure can tell. Both have to stop
improving before a run ends early: a small model's answers often still get better after its loss
has turned.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from finetune_app.basemodels.training_work import MIN_STEPS
from finetune_app.training.best_step import quality


@dataclass(frozen=True)
class Validation:
    """One measurement.

    loss: mean cross-entropy per learned token; None where it is not finite.
    accuracy: share of the learned tokens that are the model's likeliest; None without examples.
    score: mean of the goal's measure over the answered prompts, 0 to 1; None without a measure.
    general_ability: see general_ability.py; it chooses nothing by itself.
    """

    step: int
    loss: float | None
    score: float | None
    general_ability: float | None = None
    accuracy: float | None = None


def best(validations: Sequence[Validation]) -> Validation | None:
    """The highest score, then the lowest loss, then the earliest."""
    measured = [one for one in validations if one.loss is not None or one.score is not None]
    return max(measured, key=lambda one: quality(one.score, one.loss), default=None)


def ends_early(validations: Sequence[Validation], patience: int) -> bool:
    """Whether neither the score nor the loss has improved in the last `patience` measurements, or
    every answer was right in the last two."""
    if not validations or validations[-1].step < MIN_STEPS:
        return False
    if len(validations) > 1 and all(one.score == 1 for one in validations[-2:]):
        return True
    scores = [one.score if one.score is not None else -1.0 for one in validations]
    losses = [-math.inf if one.loss is None else -one.loss for one in validations]
    return min(_since_best(scores), _since_best(losses)) >= patience


def _since_best(values: Sequence[float]) -> int:
    """Measurements since the highest value was first reached."""
    return len(values) - 1 - values.index(max(values))
