"""The learning rate of every update, and after which step a run ends.

A run ends early once more steps would bring nothing. Its rate is still high then, and weights that
still move so far at every update are not at their best; so the rate falls to zero first, in a fifth
of the steps so far (a cool-down: "Scaling Laws and Compute-Optimal Training Beyond Fixed Training
Durations", Haegele et al., 2024, https://arxiv.org/abs/2405.18392).
"""

import math
from dataclasses import dataclass

from finetune_app.basemodels.training_work import COOL_DOWN
from worker.training.state import Run, State
from worker.training.validation import has_learned


@dataclass(frozen=True)
class CoolDown:
    """The rate falls to zero between two steps."""

    first: int
    last: int

    def factor(self, step: int) -> float:
        """Of the planned rate, for update `step` (from 0)."""
        return min(1.0, (self.last - step) / (self.last - self.first + 1))


def last_step(training: Run, state: State) -> int:
    """The number of updates after which the run ends, as far as is known by now."""
    found = cool_down(training, state)
    return found.last if found else training.total_steps


def learning_rate(training: Run, state: State) -> float:
    """Of the next update."""
    spec, found = training.spec, cool_down(training, state)
    planned = planned_rate(
        found.first if found else state.step,
        training.total_steps,
        spec.learning_rate,
        spec.warmup_ratio,
        spec.schedule,
    )
    return planned * found.factor(state.step) if found else planned


def cool_down(training: Run, state: State) -> CoolDown | None:
    """From the first measurement at which the run had learned what it could; None before that.

    It follows from the measurements alone, so a run that continues does the same.
    """
    validations, patience = state.validations, training.spec.patience
    for count, validation in enumerate(validations, 1):
        if has_learned(validations[:count], patience):
            steps = math.ceil(COOL_DOWN * validation.step)
            return CoolDown(validation.step, min(validation.step + steps, training.total_steps))
    return None


def planned_rate(step: int, total: int, peak: float, warmup_ratio: float, schedule: str) -> float:
    """Learning rate of update `step` (from 0): linear warm-up, then the schedule down to zero."""
    warmup = math.ceil(total * warmup_ratio)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "linear":
        return peak * (1 - progress)
    return peak
