"""The forward pass of Llama-like models for decoding, in as few operations as possible.

A decode step of a small model is dominated by call overhead: transformers' layers make some 40
calls each, and an adapter adds four for every linear layer. Here q, k and v are one product and
so are gate and up, and all adapters of a batch take a few products (batched_lora.py). Same
weights, same cache, same logits up to rounding: the probe of decoder.py compares them with
transformers whenever a model is loaded, and transformers' forward pass serves where they differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.adapters import Adapters
from worker.engine.kv_cache import SlotKVCache
from worker.engine.model_loader import LoadedModel
from worker.engine.packed_linear import FusedLinear
from worker.engine.projections import AdaptedProjections
from worker.engine.step import Chunk, StepTokens
from worker.llama import (
    ATTENTION,
    FEED_FORWARD,
    fuse_linears,
    head_sizes,
    is_standard,
    may_fuse,
    rotate,
)
from worker.memory import MappedFiles

PROJECTIONS_PER_LAYER = 4
# The calls that attend for one sequence alone take as long as attending to so many tokens.
CALL_TOKENS = 1024


def is_supported(loaded: LoadedModel) -> bool:
    """Whether this model has exactly the layers that are computed here."""
    body = getattr(loaded.model, "model", None)
    return (
        is_standard(loaded.model.config)
        and hasattr(body, "layers")
        and hasattr(body, "rotary_emb")
        and may_fuse(loaded.model)
    )


class Layer:
    """Norm weights of one decoder layer, and the indices of its projections."""

    def __init__(self, block: Any, number: int) -> None:
        self.attention_norm = block.input_layernorm.weight
        self.feed_forward_norm = block.post_attention_layernorm.weight
        first = PROJECTIONS_PER_LAYER * number
        self.qkv, self.out, self.gate_up, self.down = range(first, first + PROJECTIONS_PER_LAYER)


def fused_linears(model: Any) -> Iterator[FusedLinear]:
    """All projections of a model, in the order of their indices; the LM head is the last."""
    fused = partial(_fused, MappedFiles())
    for number, block in enumerate(model.model.layers):
        prefix = f"model.layers.{number}."
        yield fused(prefix + "self_attn.", block.self_attn, ATTENTION)
        yield fused(prefix + "self_attn.", block.self_attn, ["o_proj"])
        yield fused(prefix + "mlp.", block.mlp, FEED_FORWARD)
        yield fused(prefix + "mlp.", block.mlp, ["down_proj"])
    yield fused("", model, ["lm_head"])


def _fused(files: MappedFiles, prefix: str, parent: Any, names: Sequence[str]) -> FusedLinear:
    layers = [getattr(parent, name) for name in names]
    one = layers[0]
    weight, bias = fuse_linears(layers, files) if len(layers) > 1 else (one.weight, one.bias)
    parts = [(prefix + n, len(layer.weight)) for n, layer in zip(names, layers, strict=True)]
    return FusedLinear(weight, bias, parts)


class LlamaForward:
    """Tokens -> logits of the next ones; writes the KV cache as transformers' layers would."""

    def __init__(self, loaded: LoadedModel, adapters: Adapters) -> None:
        model = loaded.model
        self._body, self.cache = model.model, SlotKVCache()
        self._heads = head_sizes(model.config)
        self._epsilon = model.config.rms_norm_eps
        self._layers = [Layer(block, i) for i, block in enumerate(self._body.layers)]
        self.projections = AdaptedProjections(list(fused_linears(model)), adapters)

    def __call__(self, step: StepTokens) -> Tensor:
        """Logits (ready, vocabulary)."""
        device = self._body.embed_tokens.weight.device
        project = self.projections.for_batch(step.adapters)
        x = self._body.embed_tokens(torch.tensor(step.token_ids, device=device))[:, None]
        position_ids = torch.tensor(step.position_ids, device=device)[:, None]
        cos, sin = self._body.rotary_emb(x, position_ids)  # (tokens, 1, head size)
        attention = StepAttention(step, self._heads, self.cache, position_ids[:, 0])
        for number, layer in enumerate(self._layers):
            normed = self._norm(x, layer.attention_norm)
            attended = attention(project(layer.qkv, normed)[:, 0], cos, sin, number)
            x = x + project(layer.out, attended[:, None])
            normed = self._norm(x, layer.feed_forward_norm)
            gate, up = project(layer.gate_up, normed).chunk(2, dim=-1)
            x = x + project(layer.down, functional.silu(gate).mul_(up))
        if not step.rows:
            nothing: Tensor = x.new_empty(0, self._body.embed_tokens.num_embeddings)
            return nothing
        last = self._norm(x[step.rows], self._body.norm.weight)
        return project(PROJECTIONS_PER_LAYER * len(self._layers), last, step.rows)[:, 0]

    @property
    def merged_adapter(self) -> str | None:
        return self.projections.merger.adapter

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(x, weight.shape, weight, self._epsilon)


def common_width(lengths: Sequence[int]) -> int:
    """Up to which length sequences attend together, as if all were so long; longer ones attend
    alone. What takes the least: else one long conversation would make every step as slow as if
    all were as long."""
    ordered = sorted(lengths)
    alone, best, width = 0, len(lengths) * max(lengths, default=0), max(lengths, default=0)
    while len(ordered) > 1:
        alone += ordered.pop() + CALL_TOKENS
        together = len(lengths) * ordered[-1]
        if together + alone < best:
            best, width = together + alone, ordered[-1]
    return width


class StepAttention:
    """The attention of one step: of all sequences that write at once, and of each chunk.

    Query heads that share keys are laid end to end as if they were tokens. So the keys need not be
    repeated for each of them, which would be the slowest part of a step.
    """

    def __init__(
        self,
        step: StepTokens,
        heads: tuple[int, int, int],
        cache: SlotKVCache,
        position_ids: Tensor,
    ) -> None:
        self._step, self._heads, self._cache = step, heads, cache
        query_heads, kv_heads, _ = heads
        groups = query_heads // kv_heads
        self._positions = position_ids[: step.writing]
        lengths = [position + 1 for position in step.position_ids[: step.writing]]
        self._longest, self._width = max(lengths, default=0), common_width(lengths)
        self._longer = {n: length for n, length in enumerate(lengths) if length > self._width}
        keys = torch.arange(self._width, device=position_ids.device)
        self._mask = (keys <= self._positions[:, None])[:, None, None].expand(-1, 1, groups, -1)
        self._chunk_masks = [self._causal(chunk, groups, keys.device) for chunk in step.chunks]

    def __call__(self, qkv: Tensor, cos: Tensor, sin: Tensor, layer: int) -> Tensor:
        """qkv (tokens, (query_heads + 2 kv_heads) * head_size) -> (tokens, query_heads *
        head_size)."""
        query_heads, kv_heads, size = self._heads
        qkv = qkv.view(len(qkv), query_heads + 2 * kv_heads, size)
        rotated = rotate(qkv[:, : query_heads + kv_heads], cos, sin)
        queries, keys = rotated[:, :query_heads], rotated[:, query_heads:]
        values, writing = qkv[:, query_heads + kv_heads :], self._step.writing
        parts = []
        if writing:
            self._cache.set_decode(self._positions, self._longest)
            kept = self._cache.update(keys[:writing, :, None], values[:writing, :, None], layer)
            grouped = queries[:writing].reshape(writing, kv_heads, -1, size)
            parts.append(self._attend(grouped, *kept).reshape(writing, -1))
        start = writing
        for chunk, mask in zip(self._step.chunks, self._chunk_masks, strict=True):
            end = start + chunk.end - chunk.start
            self._cache.set_prefill(chunk.slot, 1, chunk.start, chunk.end)
            new_keys, new_values = (one[start:end].transpose(0, 1)[None] for one in (keys, values))
            kept = self._cache.update(new_keys, new_values, layer)
            grouped = queries[start:end].transpose(0, 1).reshape(1, kv_heads, -1, size)
            out = functional.scaled_dot_product_attention(grouped, *kept, attn_mask=mask)
            parts.append(out.view(query_heads, -1, size).transpose(0, 1).reshape(end - start, -1))
            start = end
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Of all that write: queries (writing, kv_heads, groups, head_size), keys and values
        (writing, kv_heads, longest, head_size) -> as the queries."""
        attend = functional.scaled_dot_product_attention
        width = self._width
        out = attend(queries, keys[:, :, :width], values[:, :, :width], attn_mask=self._mask)
        for n, length in self._longer.items():
            out[n] = attend(queries[[n]], keys[n, None, :, :length], values[n, None, :, :length])[0]
        return out

    @staticmethod
    def _causal(chunk: Chunk, groups: int, device: torch.device) -> Tensor:
        """(groups * tokens, keys)"""
        keys = torch.arange(chunk.end, device=device)
        return (keys <= keys[chunk.start :, None]).repeat(groups, 1)
