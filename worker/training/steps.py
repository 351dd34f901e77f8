"""One step: forward, loss on the answers only, backward, update."""

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
    """Anything that turns a batch into the summed loss of its learned tokens.

    `wanted` (learned, words) replaces the labels by probabilities of every word;
    `probabilities` are those
    that the model gives. Within `without_adapter` both are the base model's.
    """

    def __call__(self, batch: Batch, wanted: torch.Tensor | None = None) -> torch.Tensor: ...

    def probabilities(self, batch: Batch) -> torch.Tensor: ...

    def without_adapter(self) -> AbstractContextManager[None]: ...


class CausalLMLoss:
    """Loss of any causal language model, computing logits only where something is learned.

    Most of a small model's work can be its head (49,152 words for each token). A hook hands the
    head only the positions whose next token is learned; scaling or capping of logits that some
    architectures do afterwards still applies, because it works on each number by itself.
    """

    def __init__(self, model: PeftModel) -> None:
        self._model = model
        self._learned: torch.Tensor | None = None
        base: Any = model.get_base_model()
        base.get_output_embeddings().register_forward_pre_hook(self._select)

    def _select(self, _head: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:
        return inputs if self._learned is None else (inputs[0][self._learned],)

    def __call__(self, batch: Batch, wanted: torch.Tensor | None = None) -> torch.Tensor:
        labels = batch.labels if wanted is None else wanted
        return functional.cross_entropy(self._scores(batch), labels, reduction="sum")

    def probabilities(self, batch: Batch) -> torch.Tensor:
        """See `Loss`."""
        return torch.softmax(self._scores(batch), dim=-1)

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """See `Loss`; without dropout, whatever the base model was built with."""
        was_training = self._model.training
        self._model.eval()
        try:
            with self._model.disable_adapter():
                yield
        finally:
            self._model.train(was_training)

    def _scores(self, batch: Batch) -> torch.Tensor:
        """Logits (learned, words)."""
        self._learned = batch.loss_mask
        try:
            logits: torch.Tensor = self._model(input_ids=batch.input_ids, use_cache=False).logits
        finally:
            self._learned = None
        return logits.float()


@dataclass(frozen=True)
class StepResult:
    """What one step did: mean loss a learned token, real tokens read, gradient norm.

    Loss and tokens are those of the examples; everyday rows read beside them do not count.
    """

    loss: float
    tokens: int
    norm: float


def training_step(
    loss: Loss,
    optimizer: FlatAdamW,
    examples: Sequence[TokenizedExample],
    rows: Sequence[int],
    *,
    everyday: Sequence[TokenizedExample] = (),
    token_budget: int,
    learning_rate: float,
    max_norm: float,
) -> StepResult:
    """One update from `rows`, in as many parts as fit the token budget.

    Every learned token of the whole batch counts the same, so the split does not change what
    is learned. `everyday` rows are read apart, because they begin differently and their loss
    is nobody's curve; how much they weigh depends on their number, not on their length.
    """
    beside = replay_weight(len(rows), len(everyday))
    chosen = [examples[row] for row in rows]
    mean, tokens = _backward(loss, optimizer, chosen, token_budget, 1 - beside)
    if everyday:
        _backward(loss, optimizer, everyday, token_budget, beside, as_base=True)
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
    share: float,
    *,
    as_base: bool = False,
) -> tuple[float, int]:
    """Gather `share` times the gradient of the mean loss; returns that loss and the tokens.

    What is learned are the labels, or else, `as_base`, whatever the base model would expect.
    """
    total, tokens = 0.0, 0
    answers = sum(sum(example.loss_mask[1:]) for example in examples)
    device = optimizer.master.device
    for part in micro_batches(examples, range(len(examples)), token_budget):
        batch = collate([examples[row] for row in part], device)
        summed = loss(batch, base_probabilities(loss, batch) if as_base else None)
        (summed * (share / answers)).backward()
        optimizer.accumulate_gradients()
        total += float(summed.detach())
        tokens += batch.tokens
    return total / answers, tokens


@torch.no_grad()
def base_probabilities(loss: Loss, batch: Batch) -> torch.Tensor:
    with loss.without_adapter():
        return loss.probabilities(batch)


@torch.no_grad()
def mean_loss(
    loss: Loss, examples: Sequence[TokenizedExample], token_budget: int, device: torch.device
) -> float:
    """Mean loss a learned token of held-out rows."""
    total, answers = 0.0, 0
    for part in micro_batches(examples, range(len(examples)), token_budget):
        batch = collate([examples[row] for row in part], device)
        total += float(loss(batch))
        answers += len(batch.labels)
    return total / max(1, answers)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; each device says it its own way."""
    text = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError)
        and ("allocate memory" in text or "not enough memory" in text or "out of memory" in text)
    )
