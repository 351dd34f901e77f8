"""What a base model says, whatever its adapter has learned."""

import torch

from worker.training.data import Batch
from worker.training.losses import Loss


@torch.no_grad()
def probabilities(loss: Loss, batch: Batch) -> torch.Tensor:
    """Of each learned token, as the model is now: (learned, vocabulary)."""
    return loss.head_probabilities(loss.states(batch))


def base_probabilities(loss: Loss, batch: Batch) -> torch.Tensor:
    """The same of the base model."""
    with loss.without_adapter():
        return probabilities(loss, batch)
