"""What a model expects of the tokens that are learned."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from peft import PeftModel
from torch.nn import functional

from worker.training.data import Batch


class Loss(Protocol):
    """Cross-entropy of every learned token of a batch: (learned,), fp32.

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
        return functional.cross_entropy(self._logits(batch), targets, reduction="none")

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


@torch.no_grad()
def base_probabilities(loss: Loss, batch: Batch) -> torch.Tensor:
    """The base model's token probabilities (learned, vocabulary)."""
    with loss.without_adapter():
        return loss.probabilities(batch)
