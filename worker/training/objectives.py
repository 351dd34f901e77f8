"""What a training minimises: an objective turns examples into a loss.

AnswerObjective     the given answers become more likely (supervised fine-tuning)
ReplayObjective     everyday answers stay as the base model gives them
DpoObjective        in dpo.py: the better of two answers becomes more likely than the worse one
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch

from worker.template import TokenizedExample
from worker.training.data import TrainingExample, collate, micro_batches
from worker.training.data_parallel import Ranks
from worker.training.losses import Loss, base_probabilities
from worker.training.optimizer import FlatAdamW

E = TypeVar("E", bound=TrainingExample)
E_contra = TypeVar("E_contra", bound=TrainingExample, contravariant=True)


@dataclass(frozen=True)
class SummedLoss:
    """Of some examples. loss: scalar with a gradient. tokens: read, without padding.

    right: learned tokens that are the model's likeliest, or pairs of which the better answer is
    the likelier one.
    """

    loss: torch.Tensor
    tokens: int
    right: int = 0


@dataclass(frozen=True)
class MeanLoss:
    """Of examples, without an update.

    loss: None without examples, or where it is not finite. accuracy: share of the learned tokens,
    or of the pairs, that came out right (see `SummedLoss`); None without examples.
    """

    loss: float | None = None
    accuracy: float | None = None


class Objective(Protocol[E_contra]):
    """See the top of this file."""

    def __call__(self, examples: Sequence[E_contra], device: torch.device, /) -> SummedLoss: ...

    def units(self, examples: Sequence[E_contra], /) -> int:
        """What the mean is taken over: learned tokens, or pairs."""
        ...


class AnswerObjective:
    """Mean cross-entropy of the learned tokens."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def __call__(self, examples: Sequence[TokenizedExample], device: torch.device) -> SummedLoss:
        batch = collate(examples, device)
        losses, right = self._loss(batch)
        return SummedLoss(losses.sum(), batch.tokens, 0 if right is None else int(right.sum()))

    def units(self, examples: Sequence[TokenizedExample]) -> int:
        return learned_tokens(examples)


class ReplayObjective:
    """Mean cross-entropy with the base model's token probabilities as targets."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    def __call__(self, examples: Sequence[TokenizedExample], device: torch.device) -> SummedLoss:
        batch = collate(examples, device)
        targets = base_probabilities(self._loss, batch)
        return SummedLoss(self._loss(batch, targets).losses.sum(), batch.tokens)

    def units(self, examples: Sequence[TokenizedExample]) -> int:
        return learned_tokens(examples)


def learned_tokens(examples: Sequence[TokenizedExample]) -> int:
    return sum(sum(example.loss_mask[1:]) for example in examples)


@dataclass(frozen=True)
class Weighted(Generic[E]):
    """Examples of an update with their objective, and how much its mean loss counts."""

    objective: Objective[E]
    examples: Sequence[E]
    weight: float = 1.0

    def backward(
        self, optimizer: FlatAdamW, token_budget: int, ranks: Ranks
    ) -> tuple[float, float, int]:
        """Accumulate `weight` times the gradient of the mean loss; returns that loss, the accuracy
        (see `MeanLoss`) and the tokens. Of several processes each adds its own share to all."""
        total, right, tokens = 0.0, 0, 0
        units = self.objective.units(self.examples)
        for part in parts_of(ranks.share(self.examples), token_budget):
            found = self.objective(part, optimizer.master.device)
            (found.loss * (self.weight / units)).backward()
            optimizer.accumulate_gradients()
            total += float(found.loss.detach())
            right += found.right
            tokens += found.tokens
        return total / units, right / units, tokens


@torch.no_grad()
def mean_loss(
    objective: Objective[E], examples: Sequence[E], token_budget: int, device: torch.device
) -> MeanLoss:
    """The mean loss, without an update."""
    total, right = 0.0, 0
    for part in parts_of(examples, token_budget):
        found = objective(part, device)
        total += float(found.loss)
        right += found.right
    if not examples:
        return MeanLoss()
    loss, accuracy = total / objective.units(examples), right / objective.units(examples)
    return MeanLoss(loss if math.isfinite(loss) else None, accuracy)


def parts_of(examples: Sequence[E], token_budget: int) -> list[list[E]]:
    """The examples in parts that fit in memory."""
    sizes = [example.padded_tokens for example in examples]
    parts = micro_batches(sizes, token_budget)
    return [[examples[index] for index in part] for part in parts]
