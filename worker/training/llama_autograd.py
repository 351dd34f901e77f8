"""Autograd functions of Llama's layers, with hand-written backward passes.

Each does in a few large operations what autograd would do in many small ones, saves only what its
backward pass needs, and computes no gradient for frozen weights. In shapes, `tokens` are laid end
to end without padding, `in` and `out` are widths, and `ranks` those of all fused adapters.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from worker.llama import rotate
from worker.training.llama_batch import AttentionLayout, Grid
from worker.training.lm_head import HEAD_CHUNK, are_right

aten = torch.ops.aten

# Attention probabilities grow with the square of the sequence length, and every layer has some:
# those of a single sequence of 4,096 tokens would take many GB. Larger ones are therefore
# recomputed in the backward pass; smaller ones are saved, because recomputing costs more time
# than their memory is worth.
MAX_SAVED_BYTES = 16 * 1024**2
CACHED_POSITIONS = 16  # their logits in fp32 are 3 MB where the vocabulary has 49,152 tokens


class LoraLinear(Function):
    """x (tokens, in) -> (tokens, out): fused frozen linear layers with their adapters.

    weight: (out, in), stacked. lora_weights: A (rank, in) and B (out_i, rank) of each layer, in
    turn. The adapters are computed as one stacked A and one block-diagonal B.

    What the layer gets may be made of x: with norm_weight (in,) it is x * norm_weight, and gated it
    is silu(gate) * up of x (tokens, 2 * in), gate and up side by side. It is computed again in the
    backward pass: saved, both would be a third of all activations.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        scale: float,
        norm_weight: torch.Tensor | None,
        gated: bool,
        *lora_weights: torch.Tensor,
    ) -> torch.Tensor:
        inputs = _swiglu(x) if gated else _scaled(x, norm_weight)
        down = torch.cat(lora_weights[0::2]) if len(lora_weights) > 2 else lora_weights[0]
        up = _block_diagonal(lora_weights[1::2]) if len(lora_weights) > 2 else lora_weights[1]
        low_rank = (inputs @ down.t()).mul_(scale)
        out = inputs @ weight.t() if bias is None else torch.addmm(bias, inputs, weight.t())
        out.addmm_(low_rank, up.t())
        ctx.save_for_backward(x, low_rank, weight, norm_weight, down, up)
        ctx.scale, ctx.gated, ctx.shapes = scale, gated, [b.shape for b in lora_weights[1::2]]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        x, low_rank, weight, norm_weight, down, up = ctx.saved_tensors
        grad_low_rank = (grad @ up).mul_(ctx.scale)
        activated = aten.silu(_gate(x)) if ctx.gated else None
        inputs = _scaled(x, norm_weight) if activated is None else activated * _up(x)
        grad_down = grad_low_rank.t() @ inputs
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad @ weight
            grad_x.addmm_(grad_low_rank, down)
            if norm_weight is not None:
                grad_x.mul_(norm_weight)
            if activated is not None:
                grad_x = _swiglu_backward(grad_x, x, activated)
        grads = []
        row = column = 0
        for out, rank in ctx.shapes:
            part, narrow = grad[:, row : row + out], low_rank[:, column : column + rank]
            grads += [grad_down[column : column + rank], part.t() @ narrow]
            row, column = row + out, column + rank
        return grad_x, None, None, None, None, None, *grads


def _scaled(x: torch.Tensor, norm_weight: torch.Tensor | None) -> torch.Tensor:
    return x if norm_weight is None else x * norm_weight


def _gate(gate_up: torch.Tensor) -> torch.Tensor:
    return gate_up[:, : gate_up.shape[1] // 2]


def _up(gate_up: torch.Tensor) -> torch.Tensor:
    return gate_up[:, gate_up.shape[1] // 2 :]


def _swiglu(gate_up: torch.Tensor) -> torch.Tensor:
    """(tokens, 2 * inner) -> (tokens, inner)."""
    activated: torch.Tensor = aten.silu(_gate(gate_up))
    return activated.mul_(_up(gate_up))


def _swiglu_backward(
    grad: torch.Tensor, gate_up: torch.Tensor, activated: torch.Tensor
) -> torch.Tensor:
    """activated: silu of the gate. grad is overwritten."""
    out = torch.empty_like(gate_up)
    torch.mul(activated, grad, out=_up(out))
    _gate(out).copy_(aten.silu_backward(grad.mul_(_up(gate_up)), _gate(gate_up)))
    return out


def _block_diagonal(blocks: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Blocks (out_i, rank_i) as one matrix (out, ranks)."""
    rows, columns = (sum(b.shape[i] for b in blocks) for i in (0, 1))
    whole = blocks[0].new_zeros(rows, columns)
    row = column = 0
    for block in blocks:
        whole[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return whole


class RmsNorm(Function):
    """x (tokens, width) -> x / rms(x), computed in fp32. What comes next multiplies by the weight,
    so that both save the same tensor."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, epsilon: float) -> torch.Tensor:
        x_fp32 = x.float()
        inverse_rms = torch.linalg.vector_norm(x_fp32, dim=-1, keepdim=True)
        inverse_rms = inverse_rms.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        normed: torch.Tensor = (x_fp32 * inverse_rms).to(x.dtype)
        ctx.save_for_backward(normed, inverse_rms)
        return normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        normed, inverse_rms = ctx.saved_tensors
        grad_fp32, normed_fp32 = grad.float(), normed.float()
        mean = (grad_fp32 * normed_fp32).mean(-1, keepdim=True)
        grad_x = (grad_fp32 - normed_fp32.mul_(mean)).mul_(inverse_rms)
        return grad_x.to(grad.dtype), None


class Attention(Function):
    """Causal grouped-query attention of a batch as it is laid out (llama_batch.py).

    qkv (tokens, (query_heads + 2 kv_heads) * head_size) -> (tokens, query_heads * head_size).

    cos, sin: (tokens, 1, head_size), rotary tables of each token's position.
    """

    @staticmethod
    def forward(
        ctx: Any, qkv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, layout: AttentionLayout
    ) -> torch.Tensor:
        query_heads, kv_heads, size = layout.heads
        qkv = qkv.view(-1, query_heads + 2 * kv_heads, size)
        rotated = rotate(qkv[:, : query_heads + kv_heads], cos, sin).view(-1, size)
        attended, saved = [], []
        for grid in layout.grids:
            shape = (grid.rows, kv_heads, -1, size)
            q = rotated.index_select(0, grid.queries).view(shape)
            k = rotated.index_select(0, grid.keys).view(shape)
            v = qkv.view(-1, size).index_select(0, grid.values).view(shape)
            probabilities = _attention_probabilities(q, k, grid.mask)
            attended.append(probabilities @ v)
            saved += [q, k, v, probabilities if probabilities.nbytes <= MAX_SAVED_BYTES else None]
        ctx.save_for_backward(cos, sin, *saved)
        ctx.layout = layout
        return _of_tokens(attended, layout.output_places, query_heads).flatten(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        cos, sin, *saved = ctx.saved_tensors
        layout: AttentionLayout = ctx.layout
        query_heads, kv_heads, size = layout.heads
        grad = functional.pad(grad, (0, 0, 0, 1)).view(-1, size)  # padding has none
        grads_q, grads_k, grads_v = zip(
            *(
                _grid_backward(grid, grad, *saved[4 * number : 4 * number + 4])
                for number, grid in enumerate(layout.grids)
            ),
            strict=True,
        )
        grad_q = _of_tokens(grads_q, layout.output_places, query_heads)
        grad_k = _of_tokens(grads_k, layout.key_places, kv_heads)
        grad_v = _of_tokens(grads_v, layout.key_places, kv_heads)
        if prefix := layout.prefix:  # every row adds to the prefix's own keys and values
            grad_k[:prefix] += grads_k[-1][:, :, :prefix].sum(0).transpose(0, 1)
            grad_v[:prefix] += grads_v[-1][:, :, :prefix].sum(0).transpose(0, 1)
        grad_qk = rotate(torch.cat((grad_q, grad_k), dim=1), cos, -sin)
        return torch.cat((grad_qk, grad_v), dim=1).flatten(1), None, None, None


def _grid_backward(
    grid: Grid,
    grad: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    probabilities: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of what a grid attends to, in the shapes of q, k and v.

    grad: ((tokens + 1) * query_heads, size), zero at the end. probabilities: the softmax, where it
    was saved.
    """
    if probabilities is None:
        probabilities = _attention_probabilities(q, k, grid.mask)
    grad = grad.index_select(0, grid.outputs).view_as(q)
    grad_scores = aten._softmax_backward_data(
        grad @ v.transpose(2, 3), probabilities, -1, probabilities.dtype
    ).mul_(_scale(q))
    return (
        grad_scores @ k,
        grad_scores.transpose(2, 3) @ q,
        probabilities.transpose(2, 3) @ grad,
    )


def _of_tokens(of_grids: Sequence[torch.Tensor], places: torch.Tensor, heads: int) -> torch.Tensor:
    """What stands in the cells of all grids, each (rows, kv_heads, cells, size), as (tokens, heads,
    size). places: see `AttentionLayout`."""
    size = of_grids[0].shape[-1]
    whole = torch.cat([each.view(-1, size) for each in of_grids])
    return whole.index_select(0, places).view(-1, heads, size)


def _attention_probabilities(q: torch.Tensor, k: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Softmax of the scaled scores, (rows, kv_heads, query_heads / kv_heads * length, keys).

    mask: see `Grid`.
    """
    scores = q @ k.transpose(2, 3)
    length, keys = mask.shape[-2:]
    of_heads = scores.view(*scores.shape[:2], -1, length, keys)
    torch.add(mask, of_heads, alpha=_scale(q), out=of_heads)
    return torch.softmax(scores, dim=-1)


def _scale(q: torch.Tensor) -> float:
    """Of the scores."""
    return float(q.shape[-1] ** -0.5)


class HeadLoss(Function):
    """x (learned, width), head (vocabulary, width), targets -> `TokenLosses`.

    targets: labels (learned,) or token probabilities (learned, vocabulary).

    The gradient is computed in the forward pass, a few hundred positions at a time, so that the
    logits of a long batch never exist all at once; and what is made of the logits in fp32 a few
    positions at a time, which stay in the processor's cache.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, head: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        losses = x.new_empty(len(x), dtype=torch.float32)
        right = None
        if targets.dim() == 1:
            right = torch.empty_like(losses, dtype=torch.bool)
            ctx.mark_non_differentiable(right)
        grad = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        for start in range(0, len(x), HEAD_CHUNK):
            logits = x[start : start + HEAD_CHUNK] @ head.t()
            for first in range(0, len(logits), CACHED_POSITIONS):
                some = logits[first : first + CACHED_POSITIONS]
                part = slice(start + first, start + first + len(some))
                losses[part], grad_logits, of_labels = _cross_entropy(some, targets[part])
                if right is not None and of_labels is not None:
                    right[part] = of_labels
                if grad is not None:
                    some.copy_(grad_logits)
            if grad is not None:
                grad[start : start + HEAD_CHUNK] = logits @ head
        if grad is not None:
            ctx.save_for_backward(grad)
        return losses, right

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor, _right: None) -> tuple[Any, ...]:
        (grad_x,) = ctx.saved_tensors
        return grad_x * grad[:, None].to(grad_x.dtype), None, None


def _cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Losses (positions,), their gradient to logits (positions, vocabulary) in fp32, and whether
    each label is the likeliest token; None where probabilities are the targets."""
    logprobs = torch.log_softmax(logits.float(), dim=-1)
    if targets.dim() == 2:
        losses = -(logprobs * targets).sum(dim=-1)
        return losses, logprobs.exp_().sub_(targets), None
    labels = targets[:, None]
    losses, right = -logprobs.gather(1, labels)[:, 0], are_right(logprobs, targets)
    grad = logprobs.exp_().scatter_add_(1, labels, logprobs.new_full(labels.shape, -1.0))
    return losses, grad, right
