"""One training step: forward, loss, backward, update."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from worker.channel import UserError
from worker.training.data_parallel import Ranks
from worker.training.objectives import Update
from worker.training.optimizer import FlatAdamW


@dataclass(frozen=True)
class StepResult:
    """Mean loss, accuracy (see `MeanLoss`), tokens read, and the gradient's norm before clipping.

    All but the norm are those of the examples; replay examples do not count.
    """

    loss: float
    accuracy: float
    tokens: int
    norm: float


def training_step(
    optimizer: FlatAdamW,
    update: Update[Any],
    *,
    ranks: Ranks,
    token_budget: int,
    learning_rate: float,
    max_norm: float,
) -> StepResult:
    """One update, in as many micro-batches as the budget needs.

    Every learned token (or pair) of the whole batch counts the same, so neither micro-batches nor
    several processes, which all call this, change the result.

    Raises UserError when the loss or its gradient is not finite; no weight is changed then.
    """
    found = update.backward(optimizer, token_budget, ranks)
    sums = torch.tensor(found, dtype=torch.float64, device=optimizer.master.device)
    ranks.sum(sums)
    ranks.sum(optimizer.gradient)
    mean, accuracy, tokens = sums.tolist()
    norm = optimizer.step(learning_rate, max_norm) if math.isfinite(mean) else math.nan
    if not math.isfinite(norm):
        raise UserError(
            "bad_data",
            "Training became unstable: the loss is no longer a number. Start again with a lower "
            "learning rate; what was learned before is kept in the last checkpoint.",
        )
    return StepResult(mean, accuracy, int(tokens), norm)
