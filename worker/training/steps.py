"""One training step: forward, loss on the answers, backward, update."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from peft import PeftModel
from torch.nn import functional

from worker.channel import UserError
from worker.template import TokenizedExample
from worker.training.data import Batch, collate, micro_batches
from worker.training.optimizer import FlatAdamW
from worker.training.replay import replay_weight


class Loss(Protocol):
    """Summed cross-entropy of a batch's learned tokens.

    `target_probabilities` (learned, vocabulary) replaces the labels. Within `without_adapter`
    everything is computed by the base model.
    """

    def __call__(
        self, batch: Batch, target_probabilities: torch.Tensor | None = None
    ) -> torch.Tensor: ...

    def probabilities(self, batch: Batch) -> torch.Tensor:
        """Predicted token probabilities (learned, vocabulary), fp32."""
        ...

    def without_adapter(self) -> AbstractContextManager[None]: ...


class CausalLMLoss:
    """Loss of any causal language model; logits are computed only where something is learned.

    The LM head can be most of a small model's work (49,152 logits for each token). A hook gives it
    only the positions whose next token is learned. Scaling or soft-capping of logits, which some
    architectures do afterwards, still applies, because it works on each number by itself.
    """

    def __init__(self, model: PeftModel) -> None:
        self._model = model
        self._loss_mask: torch.Tensor | None = None
        base: Any = model.get_base_model()
        base.get_output_embeddings().register_forward_pre_hook(self._select)

    def _select(self, _head: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:
        return inputs if self._loss_mask is None else (inputs[0][self._loss_mask],)

    def __call__(
        self, batch: Batch, target_probabilities: torch.Tensor | None = None
    ) -> torch.Tensor:
        targets = batch.labels if target_probabilities is None else target_probabilities
        return functional.cross_entropy(self._logits(batch), targets, reduction="sum")

    def probabilities(self, batch: Batch) -> torch.Tensor:
        """See `Loss`."""
        return torch.softmax(self._logits(batch), dim=-1)

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """See `Loss`; dropout of the base model is off, too."""
        was_training = self._model.training
        self._model.eval()
        try:
            with self._model.disable_adapter():
                yield
        finally:
            self._model.train(was_training)

    def _logits(self, batch: Batch) -> torch.Tensor:
        """(learned, vocabulary), fp32."""
        self._loss_mask = batch.loss_mask
        try:
            logits: torch.Tensor = self._model(input_ids=batch.input_ids, use_cache=False).logits
        finally:
            self._loss_mask = None
        return logits.float()


@dataclass(frozen=True)
class StepResult:
    """Mean loss per learned token, tokens read, and the gradient's norm before clipping.

    Loss and tokens are those of the examples; replay examples do not count.
    """

    loss: float
    tokens: int
    norm: float


def training_step(
    loss: Loss,
    optimizer: FlatAdamW,
    examples: Sequence[TokenizedExample],
    indices: Sequence[int],
    *,
    replay: Sequence[TokenizedExample] = (),
    token_budget: int,
    learning_rate: float,
    max_norm: float,
) -> StepResult:
    """One update from the examples at `indices`, in as many micro-batches as the budget needs.

    Every learned token of the whole batch counts the same, so micro-batches do not change the
    result. `replay` examples have a forward pass of their own, because they do not share the
    prefix of the others and their loss is not part of the curve; their weight depends on their
    number, not on their length.

    Raises UserError when the loss or its gradient is not finite; no weight is changed then.
    """
    weight = replay_weight(len(indices), len(replay))
    batch = [examples[index] for index in indices]
    mean, tokens = _backward(loss, optimizer, batch, token_budget, 1 - weight)
    if replay:
        _backward(loss, optimizer, replay, token_budget, weight, targets_from_base=True)
    norm = optimizer.step(learning_rate, max_norm) if math.isfinite(mean) else math.nan
    if not math.isfinite(norm):
        raise UserError(
            "bad_data",
            "Training became unstable: the loss is no longer a number. Start again with a lower "
            "learning rate; what was learned before is kept in the last checkpoint.",
        )
    return StepResult(mean, tokens, norm)


def _backward(
    loss: Loss,
    optimizer: FlatAdamW,
    examples: Sequence[TokenizedExample],
    token_budget: int,
    weight: float,
    *,
    targets_from_base: bool = False,
) -> tuple[float, int]:
    """Accumulate `weight` times the gradient of the mean loss; returns that loss and the tokens.

    targets_from_base: the targets are the base model's token probabilities, not the labels.
    """
    total, tokens = 0.0, 0
    learned = sum(sum(example.loss_mask[1:]) for example in examples)
    device = optimizer.master.device
    for part in micro_batches(examples, range(len(examples)), token_budget):
        batch = collate([examples[index] for index in part], device)
        summed = loss(batch, base_probabilities(loss, batch) if targets_from_base else None)
        (summed * (weight / learned)).backward()
        optimizer.accumulate_gradients()
        total += float(summed.detach())
        tokens += batch.tokens
    return total / learned, tokens


@torch.no_grad()
def base_probabilities(loss: Loss, batch: Batch) -> torch.Tensor:
    """The base model's token probabilities (learned, vocabulary)."""
    with loss.without_adapter():
        return loss.probabilities(batch)


@torch.no_grad()
def mean_loss(
    loss: Loss, examples: Sequence[TokenizedExample], token_budget: int, device: torch.device
) -> float:
    """Mean loss per learned token, without an update."""
    total, learned = 0.0, 0
    for part in micro_batches(examples, range(len(examples)), token_budget):
        batch = collate([examples[index] for index in part], device)
        total += float(loss(batch))
        learned += len(batch.labels)
    return total / max(1, learned)
