"""What a training minimises: an objective turns examples into a loss.

AnswerObjective     the given answers become more likely (supervised fine-tuning)
DpoObjective        in dpo.py: the better of two answers becomes more likely than the worse one

Replay examples may lie among those of an objective, in the same forward pass: their answers stay as
the base model gives them (replay/).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch

from worker.template import TokenizedExample
from worker.training.data import TrainingExample, collate
from worker.training.data_parallel import Ranks
from worker.training.losses import Loss
from worker.training.micro_batches import parts_of, shared_tokens
from worker.training.optimizer import FlatAdamW
from worker.training.replay.answers import ReplayExample
from worker.training.replay.targets import ReplayTargets

E = TypeVar("E", bound=TrainingExample)
E_contra = TypeVar("E_contra", bound=TrainingExample, contravariant=True)


@dataclass(frozen=True)
class SummedLoss:
    """Of some examples. loss: scalar with a gradient. tokens: read, without padding.

    right: learned tokens that are the model's likeliest, or pairs of which the better answer is
    the likelier one.
    replay: loss of the replay examples among them, which the other figures leave out.
    """

    loss: torch.Tensor
    tokens: int
    right: int
    replay: torch.Tensor


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

    loss: Loss

    def __call__(
        self,
        examples: Sequence[E_contra],
        device: torch.device,
        /,
        replay: Sequence[ReplayExample] = (),
    ) -> SummedLoss: ...

    def units(self, examples: Sequence[E_contra], /) -> int:
        """What the mean is taken over: learned tokens, or pairs."""
        ...


class AnswerObjective:
    """Mean cross-entropy of the learned tokens."""

    def __init__(self, loss: Loss, replay_targets: ReplayTargets | None = None) -> None:
        self.loss, self._replay_targets = loss, replay_targets

    def __call__(
        self,
        examples: Sequence[TokenizedExample],
        device: torch.device,
        replay: Sequence[ReplayExample] = (),
    ) -> SummedLoss:
        found = batch_losses(self.loss, examples, device, replay, self._replay_targets)
        return SummedLoss(found.losses.sum(), found.tokens, found.right, found.replay)

    def units(self, examples: Sequence[TokenizedExample]) -> int:
        return learned_tokens(examples)


@dataclass(frozen=True)
class BatchLosses:
    """Of examples that were read together. losses: (learned,) with a gradient. rows: (learned,),
    the example of each. tokens, right, replay: see `SummedLoss`."""

    losses: torch.Tensor
    rows: torch.Tensor
    tokens: int
    right: int
    replay: torch.Tensor


def batch_losses(
    loss: Loss,
    examples: Sequence[TokenizedExample],
    device: torch.device,
    replay: Sequence[ReplayExample] = (),
    replay_targets: ReplayTargets | None = None,
) -> BatchLosses:
    batch = collate([*examples, *replay], device, replay_rows=len(replay))
    targets = replay_targets(replay) if replay and replay_targets else None
    losses, right = loss(batch, targets)
    rows = batch.loss_mask.nonzero()[:, 0]
    own = learned_tokens(examples)
    return BatchLosses(
        losses[:own],
        rows[:own],
        batch.tokens,
        0 if right is None else int(right.sum()),
        losses[own:].sum(),
    )


def learned_tokens(examples: Sequence[TokenizedExample]) -> int:
    return sum(sum(example.loss_mask[1:]) for example in examples)


@dataclass(frozen=True)
class Update(Generic[E]):
    """What an update learns from: examples with their objective, and replay examples beside them.

    replay_weight: how much the mean loss of the replay examples counts; the rest is that of the
    examples.
    """

    objective: Objective[E]
    examples: Sequence[E]
    replay: Sequence[ReplayExample] = ()
    replay_weight: float = 0.0

    def backward(
        self, optimizer: FlatAdamW, token_budget: int, ranks: Ranks
    ) -> tuple[float, float, int]:
        """Accumulate the gradient of the weighted mean losses; returns the loss of the examples,
        their accuracy (see `MeanLoss`) and their tokens. Of several processes each adds its own
        share to all."""
        total, right, tokens = 0.0, 0, 0
        units, replay_units = self.objective.units(self.examples), learned_tokens(self.replay)
        weight = (1 - self.replay_weight) / units
        replay_weight = self.replay_weight / max(replay_units, 1)
        for examples, replay in self.parts(token_budget, ranks):
            found = self.objective(examples, optimizer.master.device, replay=replay)
            (found.loss * weight + found.replay * replay_weight).backward()
            optimizer.accumulate_gradients()
            total += float(found.loss.detach())
            right += found.right
            tokens += found.tokens
        return total / units, right / units, tokens

    def parts(self, token_budget: int, ranks: Ranks) -> list[tuple[list[E], list[ReplayExample]]]:
        """The share of this process in parts that fit in memory, with the replay examples of each.

        Where padding costs as much as a token, replay examples are a part of their own.
        """
        own, replay = ranks.share(self.examples), ranks.share(self.replay)
        if self.objective.loss.pads:
            parts: list[tuple[list[E], list[ReplayExample]]] = []
            parts += [(part, []) for part in parts_of(own, token_budget)]
            return parts + [([], part) for part in parts_of(replay, token_budget)]
        both: list[E | ReplayExample] = [*own, *replay]
        shared = shared_tokens(own) if self.objective.loss.shares else 0
        return [apart(part) for part in parts_of(both, token_budget, shared)]


def apart(part: Sequence[E | ReplayExample]) -> tuple[list[E], list[ReplayExample]]:
    """The examples and the replay examples of a part."""
    replay = [one for one in part if isinstance(one, ReplayExample)]
    return [one for one in part if not isinstance(one, ReplayExample)], replay


@torch.no_grad()
def mean_loss(
    objective: Objective[E], examples: Sequence[E], token_budget: int, device: torch.device
) -> MeanLoss:
    """The mean loss, without an update."""
    total, right = 0.0, 0
    shared = shared_tokens(examples) if objective.loss.shares else 0
    for part in parts_of(examples, token_budget, shared):
        found = objective(part, device)
        total += float(found.loss)
        right += found.right
    if not examples:
        return MeanLoss()
    loss, accuracy = total / objective.units(examples), right / objective.units(examples)
    return MeanLoss(loss if math.isfinite(loss) else None, accuracy)
