"""Whether a faster way computes the same as transformers, found on a few tokens when a training
loads."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel

from worker.training.data import Batch, probe_batch
from worker.training.few_layers import few_layers
from worker.training.llama_loss import LlamaLoss
from worker.training.losses import Loss

# Largest difference of the gradients, relative to their norm, that rounding explains. (The starter
# model: fp32 1e-6, bf16 0.02; with all its 30 layers 0.07.)
TOLERANCE = {"fp32": 1e-3, "bf16": 0.15}


def difference(model: PeftModel, loss: LlamaLoss, reference: Loss) -> float:
    """Of the gradients of two losses of the same model, or of their values if that is larger;
    relative, see TOLERANCE. Neither weights nor gradients are changed."""
    base: Any = model.get_base_model()
    embedding = base.get_input_embeddings().weight
    batch = probe_batch(len(embedding), embedding.device)
    with few_layers(base.model) as chosen, _same_layers(loss, chosen):
        trained = [one for one in base.model.layers.parameters() if one.requires_grad]
        with _without_zeros(trained):
            (found, gradients), (expected, right) = (
                _value_and_gradients(one, batch, trained) for one in (loss, reference)
            )
    return max(_relative(found, expected), _relative(gradients, right))


@contextmanager
def _same_layers(loss: LlamaLoss, chosen: Sequence[int]) -> Iterator[None]:
    layers = loss.layers
    loss.layers = [layers[at] for at in chosen]
    try:
        yield
    finally:
        loss.layers = layers


def _value_and_gradients(
    loss: Loss, batch: Batch, trained: Sequence[torch.nn.Parameter]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses (learned,) and all gradients (parameters,), fp32."""
    losses = loss(batch).losses
    gradients = torch.autograd.grad(losses.sum(), trained)
    return losses.detach(), torch.cat([one.float().flatten() for one in gradients])


def _relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Infinite where one of them is not finite."""
    error = (found - expected).norm() / (expected.norm() + 1e-12)
    return float(error) if torch.isfinite(error) else float("inf")


@contextmanager
def _without_zeros(parameters: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    """B of a new adapter is zero, which would hide mistakes in A; meanwhile it is not."""
    zeros = [one for one in parameters if not one.detach().any()]
    generator = torch.Generator().manual_seed(0)
    try:
        for one in zeros:
            noise = torch.randn(one.shape, generator=generator)
            one.data.copy_(noise / one.shape[-1] ** 0.5 / 4)
        yield
    finally:
        for one in zeros:
            one.data.zero_()
