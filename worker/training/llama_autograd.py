"""The pieces of a Llama with their derivatives written by hand.

Each does in a few large operations what autograd would do in many small ones, keeps only what
its derivative needs, and never computes a gradient for a frozen weight. Shapes: N tokens laid
end to end, `in` and `out` widths, R the ranks of all fused adapters together.
"""

from typing import Any

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from worker.llama import rotate

aten = torch.ops.aten

# An attention matrix grows with the square of its rows, and every layer has one: those of a
# single row of 4,096 tokens would take many GB. Larger ones are therefore computed again on the
# way back; smaller ones, where that would cost more time than memory is worth, are kept.
MAX_SAVED_BYTES = 16 * 1024**2


class LoraLinear(Function):
    """x (N, in) -> (N, out): several frozen projections of one input, as one product.

    `weight` (out, in) is their weights stacked; `pairs` are A (r, in), B (out_i, r) of each, in
    the same order. The adapters run as one stacked A and one block-diagonal B.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        scale: float,
        *pairs: torch.Tensor,
    ) -> torch.Tensor:
        down = torch.cat(pairs[0::2]) if len(pairs) > 2 else pairs[0]
        up = _block_diagonal(pairs[1::2], scale)
        low = x @ down.t()
        out = x @ weight.t() if bias is None else torch.addmm(bias, x, weight.t())
        out.addmm_(low, up.t())
        ctx.save_for_backward(x, low, weight, down, up)
        ctx.scale, ctx.shapes = scale, [b.shape for b in pairs[1::2]]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        x, low, weight, down, up = ctx.saved_tensors
        grad_low = grad @ up
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad @ weight
            grad_x.addmm_(grad_low, down)
        grad_down = grad_low.t() @ x
        pairs = []
        row = column = 0
        for out, rank in ctx.shapes:
            part, narrow = grad[:, row : row + out], low[:, column : column + rank]
            pairs += [grad_down[column : column + rank], (part.t() @ narrow).mul_(ctx.scale)]
            row, column = row + out, column + rank
        return grad_x, None, None, None, *pairs


def _block_diagonal(blocks: tuple[torch.Tensor, ...], scale: float) -> torch.Tensor:
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
    """x (N, width) -> x / rms(x) * weight, computed in fp32."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        wide = x.float()
        inverse = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        inverse = inverse.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        normed = (wide * inverse).to(x.dtype)
        ctx.save_for_backward(normed, inverse, weight)
        return normed * weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        normed, inverse, weight = ctx.saved_tensors
        scaled = (grad * weight).float()
        wide = normed.float()
        mean = (scaled * wide).mean(-1, keepdim=True)
        return scaled.sub_(wide.mul_(mean)).mul_(inverse).to(grad.dtype), None, None


class SwiGlu(Function):
    """gate and up side by side (N, 2 inner) -> silu(gate) * up (N, inner)."""

    @staticmethod
    def forward(ctx: Any, both: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, dim=-1)
        return aten.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, dim=-1)
        out = torch.empty_like(both)
        grad_gate, grad_up = out.chunk(2, dim=-1)
        torch.mul(aten.silu(gate), grad, out=grad_up)
        grad_gate.copy_(aten.silu_backward(grad * up, gate))
        return out


class Attention(Function):
    """Causal grouped-query attention over a shared prefix and several suffixes.

    qkv (N, (heads + 2 groups) * size) -> (N, heads * size), where the N tokens are the prefix,
    then the real tokens of each suffix. Every suffix sees the prefix and itself; the prefix,
    computed once, sees itself. cos and sin (N, 1, size) are the rotary tables of each token's
    position. `shape` is (prefix, rows, longest suffix), `places` (N - prefix) where each suffix
    token lies on the grid of rows x longest suffix: only here are rows as long as the longest.
    """

    @staticmethod
    def forward(
        ctx: Any,
        qkv: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        places: torch.Tensor,
        shape: tuple[int, int, int],
        heads: tuple[int, int, int],
    ) -> torch.Tensor:
        prefix, rows, suffix = shape
        query, group, size = heads
        qkv = qkv.view(-1, query + 2 * group, size)
        turned = rotate(qkv[:, : query + group], cos, sin)
        q, k, v = turned[:, :query] * size**-0.5, turned[:, query:], qkv[:, query + group :]
        parts = [
            _by_group(_on_grid(t[prefix:], places, rows * suffix), rows, suffix, group)
            for t in (q, k, v)
        ]
        if prefix:
            first = [_by_group(t[:prefix], 1, prefix, group) for t in (q, k, v)]
            for i in (1, 2):
                shared = first[i].expand(rows, -1, -1, -1)
                parts[i] = torch.cat((shared, parts[i]), dim=2)
        else:
            first = []
        out = torch.empty_like(q)
        saved = []
        if prefix:
            probabilities = _probabilities(first[0], first[1], prefix)
            out[:prefix] = _by_token(probabilities @ first[2], 1, prefix, group)
            saved += [*first, _if_small(probabilities)]
        probabilities = _probabilities(parts[0], parts[1], suffix)
        out[prefix:] = _by_token(probabilities @ parts[2], rows, suffix, group)[places]
        ctx.save_for_backward(cos, sin, places, *parts, _if_small(probabilities), *saved)
        ctx.shape, ctx.heads = shape, heads
        return out.view(-1, query * size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        cos, sin, places, *saved = ctx.saved_tensors
        prefix, rows, suffix = ctx.shape
        query, group, size = ctx.heads
        grad = grad.view(-1, query, size)
        whole = grad.new_empty(grad.shape[0], query + 2 * group, size)

        def put(span: slice, *parts: torch.Tensor) -> None:
            start = 0
            for part in parts:
                whole[span, start : start + part.shape[1]] = part
                start += part.shape[1]

        grid = _by_group(_on_grid(grad[prefix:], places, rows * suffix), rows, suffix, group)
        to_q, to_k, to_v = _attention_backward(suffix, grid, *saved[:4])
        own = [_by_token(to_q, rows, suffix, group)] + [
            t[:, :, prefix:].transpose(1, 2).flatten(0, 1) for t in (to_k, to_v)
        ]
        put(slice(prefix, None), *(t[places] for t in own))
        if prefix:  # its own, and what every suffix sends back to its keys and values
            shared_k, shared_v = (t[:, :, :prefix].sum(0, keepdim=True) for t in (to_k, to_v))
            first = _by_group(grad[:prefix], 1, prefix, group)
            to_q, to_k, to_v = _attention_backward(prefix, first, *saved[4:])
            to_k, to_v = to_k.add_(shared_k), to_v.add_(shared_v)
            put(
                slice(0, prefix),
                _by_token(to_q, 1, prefix, group),
                *(t.transpose(1, 2).flatten(0, 1) for t in (to_k, to_v)),
            )
        whole[:, :query].mul_(size**-0.5)
        whole[:, : query + group] = rotate(whole[:, : query + group], cos, -sin)
        return whole.view(grad.shape[0], -1), None, None, None, None, None


def _if_small(probabilities: torch.Tensor) -> torch.Tensor | None:
    return probabilities if probabilities.nbytes <= MAX_SAVED_BYTES else None


def _attention_backward(
    length: int,
    grad: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    probabilities: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of softmax(q k) v for scaled q, in the shapes of q, k and v.

    `probabilities` is that softmax where it was kept; `length` as in `_probabilities`.
    """
    if probabilities is None:
        probabilities = _probabilities(q, k, length)
    to_probabilities = grad @ v.transpose(2, 3)
    to_scores = aten._softmax_backward_data(
        to_probabilities, probabilities, -1, probabilities.dtype
    )
    return to_scores @ k, to_scores.transpose(2, 3) @ q, probabilities.transpose(2, 3) @ grad


def _on_grid(x: torch.Tensor, places: torch.Tensor, size: int) -> torch.Tensor:
    """Real tokens laid out at their places; what is left between them is zero."""
    return x.new_zeros(size, *x.shape[1:]).index_copy_(0, places, x)


def _by_group(x: torch.Tensor, rows: int, length: int, group: int) -> torch.Tensor:
    """(rows * length, heads, size) -> (rows, group, heads / group * length, size)."""
    size = x.shape[-1]
    x = x.reshape(rows, length, group, -1, size).permute(0, 2, 3, 1, 4)
    return x.reshape(rows, group, -1, size)


def _by_token(x: torch.Tensor, rows: int, length: int, group: int) -> torch.Tensor:
    """The way back."""
    size = x.shape[-1]
    x = x.view(rows, group, -1, length, size).permute(0, 3, 1, 2, 4)
    return x.reshape(rows * length, -1, size)


def _probabilities(q: torch.Tensor, k: torch.Tensor, length: int) -> torch.Tensor:
    """softmax(q k) where each of the last `length` positions sees itself and what is before."""
    seen = k.shape[2]
    scores = q @ k.transpose(2, 3)
    hidden = torch.ones(length, seen, dtype=torch.bool, device=q.device)
    hidden = hidden.triu_(seen - length + 1)
    scores.view(*scores.shape[:2], -1, length, seen).masked_fill_(hidden, float("-inf"))
    return torch.softmax(scores, dim=-1)


class HeadLoss(Function):
    """x (n, width), head (words, width), labels (n) -> summed cross-entropy.

    Instead of labels, probabilities of every word (n, words) can be wanted.

    The derivative is worked out on the way forward, a few hundred positions at a time, so that
    the logits of a long batch never exist all at once.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, head: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        total = x.new_zeros((), dtype=torch.float32)
        grad = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        for start in range(0, len(x), 256):
            part = slice(start, start + 256)
            probabilities = torch.log_softmax((x[part] @ head.t()).float(), dim=-1)
            if labels.dim() == 2:
                total -= (probabilities * labels[part]).sum()
                probabilities.exp_().sub_(labels[part])
            else:
                wanted = labels[part, None]
                total -= probabilities.gather(1, wanted).sum()
                probabilities.exp_().scatter_add_(
                    1, wanted, probabilities.new_full(wanted.shape, -1.0)
                )
            if grad is not None:
                grad[part] = probabilities.to(x.dtype) @ head
        if grad is not None:
            ctx.save_for_backward(grad)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        (grad_x,) = ctx.saved_tensors
        return grad_x * grad.to(grad_x.dtype), None, None
