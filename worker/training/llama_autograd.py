"""Autograd functions of Llama's layers, with hand-written backward passes.

Each does in a few large operations what autograd would do in many small ones, saves only what its
backward pass needs, and computes no gradient for frozen weights. In shapes, `tokens` are laid end
to end without padding, `in` and `out` are widths, and `ranks` those of all fused adapters.
"""

from typing import Any, NamedTuple

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from worker.llama import rotate
from worker.training.lm_head import HEAD_CHUNK, are_right

aten = torch.ops.aten

# Attention probabilities grow with the square of the sequence length, and every layer has some:
# those of a single sequence of 4,096 tokens would take many GB. Larger ones are therefore
# recomputed in the backward pass; smaller ones are saved, because recomputing costs more time
# than their memory is worth.
MAX_SAVED_BYTES = 16 * 1024**2


class LoraLinear(Function):
    """x (tokens, in) -> (tokens, out): fused frozen linear layers with their adapters.

    weight: (out, in), stacked. lora_weights: A (rank, in) and B (out_i, rank) of each layer, in
    turn. The adapters are computed as one stacked A and one block-diagonal B.
    gated: x is (tokens, 2 * in), gate and up side by side, and the input silu(gate) * up. It is
    computed again in the backward pass: saved, it would be a sixth of all activations.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        scale: float,
        gated: bool,
        *lora_weights: torch.Tensor,
    ) -> torch.Tensor:
        inputs = _swiglu(x) if gated else x
        down = torch.cat(lora_weights[0::2]) if len(lora_weights) > 2 else lora_weights[0]
        up = _block_diagonal(lora_weights[1::2], scale)
        low_rank = inputs @ down.t()
        out = inputs @ weight.t() if bias is None else torch.addmm(bias, inputs, weight.t())
        out.addmm_(low_rank, up.t())
        ctx.save_for_backward(x, low_rank, weight, down, up)
        ctx.scale, ctx.gated, ctx.shapes = scale, gated, [b.shape for b in lora_weights[1::2]]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        x, low_rank, weight, down, up = ctx.saved_tensors
        grad_low_rank = grad @ up
        grad_down = grad_low_rank.t() @ (_swiglu(x) if ctx.gated else x)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad @ weight
            grad_x.addmm_(grad_low_rank, down)
            if ctx.gated:
                grad_x = _swiglu_backward(grad_x, x)
        grads = []
        row = column = 0
        for out, rank in ctx.shapes:
            part, narrow = grad[:, row : row + out], low_rank[:, column : column + rank]
            grads += [grad_down[column : column + rank], (part.t() @ narrow).mul_(ctx.scale)]
            row, column = row + out, column + rank
        return grad_x, None, None, None, None, *grads


def _swiglu(gate_up: torch.Tensor) -> torch.Tensor:
    """(tokens, 2 * inner) -> (tokens, inner)."""
    gate, up = gate_up.chunk(2, dim=-1)
    activated: torch.Tensor = aten.silu(gate)
    return activated.mul_(up)


def _swiglu_backward(grad: torch.Tensor, gate_up: torch.Tensor) -> torch.Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    out = torch.empty_like(gate_up)
    grad_gate, grad_up = out.chunk(2, dim=-1)
    torch.mul(aten.silu(gate), grad, out=grad_up)
    grad_gate.copy_(aten.silu_backward(grad.mul_(up), gate))
    return out


def _block_diagonal(blocks: tuple[torch.Tensor, ...], scale: float) -> torch.Tensor:
    """Blocks (out_i, rank_i), scaled, as one matrix (out, ranks)."""
    if len(blocks) == 1:
        return blocks[0] * scale
    rows, columns = (sum(b.shape[i] for b in blocks) for i in (0, 1))
    whole = blocks[0].new_zeros(rows, columns)
    row = column = 0
    for block in blocks:
        torch.mul(
            block,
            scale,
            out=whole[row : row + block.shape[0], column : column + block.shape[1]],
        )
        row, column = row + block.shape[0], column + block.shape[1]
    return whole


class RmsNorm(Function):
    """x (tokens, width) -> x / rms(x) * weight, computed in fp32."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        x_fp32 = x.float()
        inverse_rms = torch.linalg.vector_norm(x_fp32, dim=-1, keepdim=True)
        inverse_rms = inverse_rms.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        normed: torch.Tensor = (x_fp32 * inverse_rms).to(x.dtype)
        ctx.save_for_backward(normed, inverse_rms, weight)
        return normed * weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        normed, inverse_rms, weight = ctx.saved_tensors
        scaled = (grad * weight).float()
        normed_fp32 = normed.float()
        mean = (scaled * normed_fp32).mean(-1, keepdim=True)
        grad_x = scaled.sub_(normed_fp32.mul_(mean)).mul_(inverse_rms)
        return grad_x.to(grad.dtype), None, None


class GridShape(NamedTuple):
    """prefix: shared tokens. rows: suffixes, the last `strangers` of which do not begin with the
    prefix and are whole examples. suffix: tokens of the longest one."""

    prefix: int
    rows: int
    suffix: int
    strangers: int = 0


class Attention(Function):
    """Causal grouped-query attention over a shared prefix and several suffixes.

    qkv (tokens, (query_heads + 2 kv_heads) * head_size) -> (tokens, query_heads * head_size). The
    tokens are the prefix, then those of each suffix without padding. Every suffix attends to the
    prefix, unless it is a stranger, and to itself; the prefix, computed once, to itself.

    cos, sin: (tokens, 1, head_size), rotary tables of each token's position.
    grid_positions: (tokens - prefix,) index of each suffix token in a padded grid
        (rows * suffix,).
    heads: (query_heads, kv_heads, head_size).
    """

    @staticmethod
    def forward(
        ctx: Any,
        qkv: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        grid_positions: torch.Tensor,
        shape: GridShape,
        heads: tuple[int, int, int],
    ) -> torch.Tensor:
        prefix, rows, suffix, strangers = shape
        query_heads, kv_heads, size = heads
        qkv = qkv.view(-1, query_heads + 2 * kv_heads, size)
        rotated = rotate(qkv[:, : query_heads + kv_heads], cos, sin)
        q = rotated[:, :query_heads] * size**-0.5
        k, v = rotated[:, query_heads:], qkv[:, query_heads + kv_heads :]
        suffix_qkv = [
            _by_group(_to_grid(t[prefix:], grid_positions, rows * suffix), rows, suffix, kv_heads)
            for t in (q, k, v)
        ]
        if prefix:
            prefix_qkv = [_by_group(t[:prefix], 1, prefix, kv_heads) for t in (q, k, v)]
            for i in (1, 2):
                shared = prefix_qkv[i].expand(rows, -1, -1, -1)
                suffix_qkv[i] = torch.cat((shared, suffix_qkv[i]), dim=2)
        else:
            prefix_qkv = []
        out = torch.empty_like(q)
        saved = []
        if prefix:
            probabilities = _attention_probabilities(prefix_qkv[0], prefix_qkv[1], prefix)
            out[:prefix] = _by_token(probabilities @ prefix_qkv[2], 1, prefix, kv_heads)
            saved += [*prefix_qkv, _if_small(probabilities)]
        probabilities = _attention_probabilities(suffix_qkv[0], suffix_qkv[1], suffix, strangers)
        attended = _by_token(probabilities @ suffix_qkv[2], rows, suffix, kv_heads)
        out[prefix:] = attended[grid_positions]
        ctx.save_for_backward(
            cos, sin, grid_positions, *suffix_qkv, _if_small(probabilities), *saved
        )
        ctx.shape, ctx.heads = shape, heads
        return out.view(-1, query_heads * size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        cos, sin, grid_positions, *saved = ctx.saved_tensors
        prefix, rows, suffix, strangers = ctx.shape
        query_heads, kv_heads, size = ctx.heads
        grad = grad.view(-1, query_heads, size)
        grad_qkv = grad.new_empty(grad.shape[0], query_heads + 2 * kv_heads, size)

        def put(span: slice, *parts: torch.Tensor) -> None:
            start = 0
            for part in parts:
                grad_qkv[span, start : start + part.shape[1]] = part
                start += part.shape[1]

        grid = _by_group(
            _to_grid(grad[prefix:], grid_positions, rows * suffix), rows, suffix, kv_heads
        )
        grad_q, grad_k, grad_v = _attention_backward(suffix, strangers, grid, *saved[:4])
        own = [_by_token(grad_q, rows, suffix, kv_heads)] + [
            t[:, :, prefix:].transpose(1, 2).flatten(0, 1) for t in (grad_k, grad_v)
        ]
        put(slice(prefix, None), *(t[grid_positions] for t in own))
        if prefix:  # its own gradient, and that of every suffix to its keys and values
            shared_k, shared_v = (t[:, :, :prefix].sum(0, keepdim=True) for t in (grad_k, grad_v))
            grad_prefix = _by_group(grad[:prefix], 1, prefix, kv_heads)
            grad_q, grad_k, grad_v = _attention_backward(prefix, 0, grad_prefix, *saved[4:])
            grad_k, grad_v = grad_k.add_(shared_k), grad_v.add_(shared_v)
            put(
                slice(0, prefix),
                _by_token(grad_q, 1, prefix, kv_heads),
                *(t.transpose(1, 2).flatten(0, 1) for t in (grad_k, grad_v)),
            )
        grad_qkv[:, :query_heads].mul_(size**-0.5)
        rotated = slice(0, query_heads + kv_heads)
        grad_qkv[:, rotated] = rotate(grad_qkv[:, rotated], cos, -sin)
        return grad_qkv.view(grad.shape[0], -1), None, None, None, None, None


def _if_small(probabilities: torch.Tensor) -> torch.Tensor | None:
    return probabilities if probabilities.nbytes <= MAX_SAVED_BYTES else None


def _attention_backward(
    length: int,
    strangers: int,
    grad: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    probabilities: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of softmax(q k^T) v, in the shapes of q, k and v.

    probabilities: the softmax, where it was saved. Others: see `_attention_probabilities`.
    """
    if probabilities is None:
        probabilities = _attention_probabilities(q, k, length, strangers)
    grad_probabilities = grad @ v.transpose(2, 3)
    grad_scores = aten._softmax_backward_data(
        grad_probabilities, probabilities, -1, probabilities.dtype
    )
    return (
        grad_scores @ k,
        grad_scores.transpose(2, 3) @ q,
        probabilities.transpose(2, 3) @ grad,
    )


def _to_grid(x: torch.Tensor, grid_positions: torch.Tensor, size: int) -> torch.Tensor:
    """Tokens at their positions in the padded grid (size, ...); the padding is zero."""
    return x.new_zeros(size, *x.shape[1:]).index_copy_(0, grid_positions, x)


def _by_group(x: torch.Tensor, rows: int, length: int, kv_heads: int) -> torch.Tensor:
    """(rows * length, heads, size) -> (rows, kv_heads, heads / kv_heads * length, size)."""
    size = x.shape[-1]
    x = x.reshape(rows, length, kv_heads, -1, size).permute(0, 2, 3, 1, 4)
    return x.reshape(rows, kv_heads, -1, size)


def _by_token(x: torch.Tensor, rows: int, length: int, kv_heads: int) -> torch.Tensor:
    """The inverse of `_by_group`."""
    size = x.shape[-1]
    x = x.view(rows, kv_heads, -1, length, size).permute(0, 3, 1, 2, 4)
    return x.reshape(rows * length, -1, size)


def _attention_probabilities(
    q: torch.Tensor, k: torch.Tensor, length: int, strangers: int = 0
) -> torch.Tensor:
    """softmax(q k^T). The queries are the last `length` positions; each attends to itself and to
    all positions before it, but in the last `strangers` rows not to the positions of the prefix."""
    keys = k.shape[2]
    scores = q @ k.transpose(2, 3)
    hidden = torch.ones(length, keys, dtype=torch.bool, device=q.device)
    hidden = hidden.triu_(keys - length + 1)
    scores.view(*scores.shape[:2], -1, length, keys).masked_fill_(hidden, float("-inf"))
    if strangers:
        scores[-strangers:, :, :, : keys - length] = float("-inf")
    return torch.softmax(scores, dim=-1)


class HeadLoss(Function):
    """x (learned, width), head (vocabulary, width), targets -> `TokenLosses`.

    targets: labels (learned,) or token probabilities (learned, vocabulary).

    The gradient is computed in the forward pass, a few hundred positions at a time, so that the
    logits of a long batch never exist all at once.
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
            part = slice(start, start + HEAD_CHUNK)
            logprobs = torch.log_softmax((x[part] @ head.t()).float(), dim=-1)
            if right is not None:
                right[part] = are_right(logprobs, targets[part])
            if targets.dim() == 2:
                losses[part] = -(logprobs * targets[part]).sum(dim=-1)
                grad_logits = logprobs.exp_().sub_(targets[part])
            else:
                labels = targets[part, None]
                losses[part] = -logprobs.gather(1, labels)[:, 0]
                grad_logits = logprobs.exp_().scatter_add_(
                    1, labels, logprobs.new_full(labels.shape, -1.0)
                )
            if grad is not None:
                grad[part] = grad_logits.to(x.dtype) @ head
        if grad is not None:
            ctx.save_for_backward(grad)
        return losses, right

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor, _right: None) -> tuple[Any, ...]:
        (grad_x,) = ctx.saved_tensors
        return grad_x * grad[:, None].to(grad_x.dtype), None, None
