"""The LM head and the cross-entropy, a few hundred positions at a time.

The logits of a batch can be larger than the model: 4,096 positions of a vocabulary of 128,000 are
2 GB in fp32, and cross-entropy and its gradient hold several tensors of that size. Here those of
HEAD_CHUNK positions exist at the same time.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

HEAD_CHUNK = 256  # positions whose logits exist at the same time
# Largest difference of a position's logits, relative to their standard deviation: rounding makes
# far less, because head and inputs are the same.
TOLERANCE = 0.01


class TokenLosses(NamedTuple):
    """Of every learned token of a batch.

    losses: cross-entropy, (learned,), fp32, with a gradient.
    right: whether the label is the likeliest token, (labels,), bool; None where probabilities are
    the targets of all.
    """

    losses: torch.Tensor
    right: torch.Tensor | None


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

    def token_losses(self, states: torch.Tensor, targets: torch.Tensor) -> TokenLosses:
        """targets: labels (positions,) or token probabilities (positions, vocabulary)."""
        if any(weight.requires_grad for weight in self._head.parameters()):
            # The head's gradient depends on how much each loss counts, which only the backward
            # pass knows: each chunk is computed again there.
            found = [
                checkpoint(
                    self.chunk_losses,
                    states[part],
                    targets[part],
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
                for part in chunks(len(states))
            ]
            losses, right = zip(*found, strict=True)
            has_labels = targets.dim() == 1
            return TokenLosses(torch.cat(losses), torch.cat(right) if has_labels else None)
        return TokenLosses(*FrozenHeadLoss.apply(states, targets, self))

    def chunk_losses(self, states: torch.Tensor, targets: torch.Tensor) -> TokenLosses:
        """`token_losses` of one chunk."""
        return token_losses(self.logits(states), targets)

    def probabilities(self, states: torch.Tensor) -> torch.Tensor:
        """(positions, vocabulary), fp32."""
        return torch.cat(
            [torch.softmax(self.logits(states[part]), dim=-1) for part in chunks(len(states))]
        )


def with_replay(
    losses: Callable[[torch.Tensor, torch.Tensor], TokenLosses],
    inputs: torch.Tensor,
    labels: torch.Tensor,
    probabilities: torch.Tensor | None,
) -> TokenLosses:
    """Losses of inputs (learned, ...): `probabilities` are the targets of the last ones, if there
    are any, and labels those of the others."""
    if probabilities is None:
        return losses(inputs, labels)
    count = len(inputs) - len(probabilities)
    own = losses(inputs[:count], labels[:count])
    replay = losses(inputs[count:], probabilities)
    return TokenLosses(torch.cat((own.losses, replay.losses)), own.right)


def token_losses(logits: torch.Tensor, targets: torch.Tensor) -> TokenLosses:
    """logits: (positions, vocabulary), fp32. targets: as of `LMHead.token_losses`."""
    losses = functional.cross_entropy(logits, targets, reduction="none")
    return TokenLosses(losses, are_right(logits, targets) if targets.dim() == 1 else None)


@torch.no_grad()
def are_right(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """See `TokenLosses`. scores: logits or log probabilities (positions, vocabulary)."""
    # Half the time of argmax; a label that shares the first place is right.
    return scores.gather(1, labels[:, None])[:, 0] >= scores.amax(dim=-1)


class FrozenHeadLoss(Function):
    """`LMHead.token_losses` of a head that is not trained. The gradient is computed in the
    forward pass: the loss of a position depends on its own states alone."""

    @staticmethod
    def forward(
        ctx: Any, states: torch.Tensor, targets: torch.Tensor, head: LMHead
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        losses = states.new_empty(len(states), dtype=torch.float32)
        right = None
        if targets.dim() == 1:
            right = torch.empty_like(losses, dtype=torch.bool)
            ctx.mark_non_differentiable(right)
        grad = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        for part in chunks(len(states)):
            with torch.set_grad_enabled(grad is not None):
                some = states[part].detach().requires_grad_(grad is not None)
                found, of_labels = head.chunk_losses(some, targets[part])
            losses[part] = found.detach()
            if right is not None and of_labels is not None:
                right[part] = of_labels
            if grad is not None:
                (grad[part],) = torch.autograd.grad(found, some, torch.ones_like(found))
        if grad is not None:
            ctx.save_for_backward(grad)
        return losses, right

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor, _right: None) -> tuple[Any, ...]:
        (grad_states,) = ctx.saved_tensors
        return grad_states * grad[:, None].to(grad_states.dtype), None, None


def chunks(positions: int) -> Iterator[slice]:
    """At least one, which is empty where there is no position."""
    for start in range(0, max(1, positions), HEAD_CHUNK):
        yield slice(start, start + HEAD_CHUNK)
