"""The forward pass of Llama-like models for decoding, in as few operations as possible.

A decode step of a small model is dominated by call overhead: transformers' layers make some 40
calls each, and an adapter adds four for every linear layer. Here q, k and v are one product and
so are gate and up, and all adapters of a batch are one pair of products (projections.py). Same
weights, same cache, same logits up to rounding: the probe of decoder.py compares them with
transformers whenever a model is loaded, and transformers' forward pass serves where they differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional

from worker.engine.adapters import Adapters
from worker.engine.kv_cache import SlotKVCache
from worker.engine.model_loader import LoadedModel
from worker.engine.packed_linear import FusedLinear
from worker.engine.projections import AdaptedProjections
from worker.llama import (
    ATTENTION,
    FEED_FORWARD,
    fuse_linears,
    head_sizes,
    is_standard,
    may_fuse,
    rotate,
)

PROJECTIONS_PER_LAYER = 4


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
    for number, block in enumerate(model.model.layers):
        prefix = f"model.layers.{number}."
        yield _fused(prefix + "self_attn.", block.self_attn, ATTENTION)
        yield _fused(prefix + "self_attn.", block.self_attn, ["o_proj"])
        yield _fused(prefix + "mlp.", block.mlp, FEED_FORWARD)
        yield _fused(prefix + "mlp.", block.mlp, ["down_proj"])
    yield _fused("", model, ["lm_head"])


def _fused(prefix: str, parent: Any, names: Sequence[str]) -> FusedLinear:
    layers = [getattr(parent, name) for name in names]
    weight, bias = fuse_linears(layers) if len(layers) > 1 else (layers[0].weight, layers[0].bias)
    parts = [(prefix + n, len(layer.weight)) for n, layer in zip(names, layers, strict=True)]
    return FusedLinear(weight, bias, parts)


class LlamaForward:
    """Tokens -> logits of the next one; writes the KV cache as transformers' layers would."""

    def __init__(self, loaded: LoadedModel, adapters: Adapters, cache: SlotKVCache) -> None:
        model = loaded.model
        self._body, self._cache = model.model, cache
        self._heads = head_sizes(model.config)
        self._epsilon = model.config.rms_norm_eps
        self._layers = [Layer(block, i) for i, block in enumerate(self._body.layers)]
        self.projections = AdaptedProjections(list(fused_linears(model)), adapters)

    def __call__(
        self, input_ids: Tensor, position_ids: Tensor, mask: Tensor, adapters: list[str]
    ) -> Tensor:
        """Logits (batch, vocabulary) after the last column.

        input_ids, position_ids: (batch, sequence). mask: bool (batch, 1, sequence, keys).
        adapters: name of each sequence's adapter.
        """
        project = self.projections.for_batch(adapters)
        x = self._body.embed_tokens(input_ids)
        cos, sin = (t[:, :, None] for t in self._body.rotary_emb(x, position_ids))
        query_heads, kv_heads, _ = self._heads
        mask = mask.repeat(1, 1, query_heads // kv_heads, 1)
        for number, layer in enumerate(self._layers):
            normed = self._norm(x, layer.attention_norm)
            attended = self._attention(project(layer.qkv, normed), cos, sin, mask, number)
            x = x + project(layer.out, attended)
            normed = self._norm(x, layer.feed_forward_norm)
            gate, up = project(layer.gate_up, normed).chunk(2, dim=-1)
            x = x + project(layer.down, functional.silu(gate).mul_(up))
        last = self._norm(x[:, -1:], self._body.norm.weight)
        return project(PROJECTIONS_PER_LAYER * len(self._layers), last)[:, -1]

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(x, weight.shape, weight, self._epsilon)

    def _attention(self, qkv: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, layer: int) -> Tensor:
        """qkv (batch, sequence, (query_heads + 2 kv_heads) * head_size) -> (batch, sequence,
        query_heads * head_size).

        Query heads that share keys are laid end to end as if they were tokens. So the keys need
        not be repeated for each of them, which would be the slowest part of a step.
        """
        query_heads, kv_heads, size = self._heads
        batch, sequence, _ = qkv.shape
        qkv = qkv.view(batch, sequence, query_heads + 2 * kv_heads, size)
        rotated = rotate(qkv[:, :, : query_heads + kv_heads], cos, sin).transpose(1, 2)
        values = qkv[:, :, query_heads + kv_heads :].transpose(1, 2)
        keys, values = self._cache.update(rotated[:, query_heads:], values, layer)
        queries = rotated[:, :query_heads].reshape(batch, kv_heads, -1, size)
        out = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        out = out.view(batch, query_heads, sequence, size).transpose(1, 2)
        return out.reshape(batch, sequence, query_heads * size)
