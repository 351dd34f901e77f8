"""The LM head and the cross-entropy, a few hundred positions at a time.

The logits of a batch can be larger than the model: 4,096 positions of a vocabulary of 128,000 are
2 GB in fp32, and cross-entropy and its gradient hold several tensors of that size. Here those of
HEAD_CHUNK positions exist at the same time.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

HEAD_CHUNK = 256  # positions whose logits exist at the same time
# Largest difference of a position's logits, relative to their standard deviation: rounding makes
# far less, because head and inputs are the same.
TOLERANCE = 0.01


class LMHead:
    """Hidden states (positions, width), as they enter the LM head, to logits and losses.

    Multiplies by the model's own head, with bias and adapter where it has one, and then scales and
    soft-caps as the model's config says (Cohere, Granite, Gemma). `agrees` tells whether that is
    all that this model does.
    """

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config()
        self._head = model.get_output_embeddings()
        self._scale = getattr(config, "logit_scale", None) or 1.0
        self._divisor = getattr(config, "logits_scaling", None) or 1.0
        self._cap = getattr(config, "final_logit_softcapping", None)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(positions, vocabulary), fp32."""
        found: torch.Tensor = self._head(states)
        if self._scale != 1.0 or self._divisor != 1.0:
            found = found * self._scale / self._divisor
        if self._cap is not None:
            found = torch.tanh(found / self._cap) * self._cap
        return found.float()

    def agrees(self, states: torch.Tensor, expected: torch.Tensor) -> bool:
        """Whether the logits of these states are the `expected` ones, but for rounding."""
        difference = (self.logits(states) - expected.float()).std(dim=-1)
        return bool((difference <= TOLERANCE * expected.float().std(dim=-1)).all())

    def cross_entropy(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Losses (positions,), fp32. targets: labels (positions,) or token probabilities
        (positions, vocabulary)."""
        if any(weight.requires_grad for weight in self._head.parameters()):
            # The head's gradient depends on how much each loss counts, which only the backward
            # pass knows: each chunk is computed again there.
            return torch.cat(
                [
                    checkpoint(
                        self.chunk_losses,
                        states[part],
                        targets[part],
                        use_reentrant=False,
                        preserve_rng_state=False,
                    )
                    for part in chunks(len(states))
                ]
            )
        losses: torch.Tensor = FrozenHeadLoss.apply(states, targets, self)
        return losses

    def chunk_losses(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """`cross_entropy` of one chunk."""
        return functional.cross_entropy(self.logits(states), targets, reduction="none")

    def probabilities(self, states: torch.Tensor) -> torch.Tensor:
        """(positions, vocabulary), fp32."""
        return torch.cat(
            [torch.softmax(self.logits(states[part]), dim=-1) for part in chunks(len(states))]
        )


class FrozenHeadLoss(Function):
    """`LMHead.cross_entropy` of a head that is not trained. The gradient is computed in the
    forward pass: the loss of a position depends on its own states alone."""

    @staticmethod
    def forward(
        ctx: Any, states: torch.Tensor, targets: torch.Tensor, head: LMHead
    ) -> torch.Tensor:
        losses = states.new_empty(len(states), dtype=torch.float32)
        grad = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        for part in chunks(len(states)):
            with torch.set_grad_enabled(grad is not None):
                some = states[part].detach().requires_grad_(grad is not None)
                found = head.chunk_losses(some, targets[part])
            losses[part] = found.detach()
            if grad is not None:
                (grad[part],) = torch.autograd.grad(found, some, torch.ones_like(found))
        if grad is not None:
            ctx.save_for_backward(grad)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        (grad_states,) = ctx.saved_tensors
        return grad_states * grad[:, None].to(grad_states.dtype), None, None


def chunks(positions: int) -> Iterator[slice]:
    """At least one, which is empty where there is no position."""
    for start in range(0, max(1, positions), HEAD_CHUNK):
        yield slice(start, start + HEAD_CHUNK)
