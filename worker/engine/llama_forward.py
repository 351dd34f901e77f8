"""A Llama's forward for the decode loop, in as few operations as it takes.

A decode step of a small model spends its time in calling: transformers' layers make some 40 calls
each, and an adapter adds four for every linear layer. Here q, k and v are one product and so are
gate and up, all adapters of a batch are one pair of products or none (weights.py), and nothing else
is called. Same weights, same cache, same scores up to rounding: the probe of stepper.py compares
them with the model's own whenever a model is loaded, and the model's own forward serves where they
differ.
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
from worker.llama import ATTENTION, FEED_FORWARD, fuse, heads_of, is_plain, rotate


def is_supported(loaded: LoadedModel) -> bool:
    """Whether this model is of the kind computed here."""
    body = getattr(loaded.model, "model", None)
    return is_plain(loaded.model.config) and hasattr(body, "layers") and hasattr(body, "rotary_emb")


class Layer:
    """One block: its norms, and the places of its projections among the model's."""

    def __init__(self, block: Any, number: int) -> None:
        self.before_attention = block.input_layernorm.weight
        self.before_feed = block.post_attention_layernorm.weight
        self.qkv, self.out, self.gate_up, self.down = range(4 * number, 4 * number + 4)


def projections_of(model: Any) -> Iterator[FusedLinear]:
    """All of a model's, in the order of their places; the vocabulary's is the last."""
    for number, block in enumerate(model.model.layers):
        prefix = f"model.layers.{number}."
        yield _projection(prefix + "self_attn.", block.self_attn, ATTENTION)
        yield _projection(prefix + "self_attn.", block.self_attn, ["o_proj"])
        yield _projection(prefix + "mlp.", block.mlp, FEED_FORWARD)
        yield _projection(prefix + "mlp.", block.mlp, ["down_proj"])
    yield _projection("", model, ["lm_head"])


def _projection(prefix: str, parent: Any, names: Sequence[str]) -> FusedLinear:
    layers = [getattr(parent, name) for name in names]
    weight, bias = fuse(layers) if len(layers) > 1 else (layers[0].weight, layers[0].bias)
    parts = [(prefix + n, len(layer.weight)) for n, layer in zip(names, layers, strict=True)]
    return FusedLinear(weight, bias, parts)


class LlamaForward:
    """Tokens -> scores of the next one, writing into `cache` as transformers' own layers would."""

    def __init__(self, loaded: LoadedModel, adapters: Adapters, cache: SlotKVCache) -> None:
        model = loaded.model
        self._body, self._cache = model.model, cache
        self._heads = heads_of(model.config)
        self._epsilon = model.config.rms_norm_eps
        self._layers = [Layer(block, i) for i, block in enumerate(self._body.layers)]
        self.weights = AdaptedProjections(list(projections_of(model)), adapters)

    def __call__(self, ids: Tensor, places: Tensor, mask: Tensor, adapters: list[str]) -> Tensor:
        """ids and places (rows, tokens), mask (rows, 1, tokens, seen) -> scores (rows, vocabulary)
        after the last column."""
        project = self.weights.of(adapters)
        x = self._body.embed_tokens(ids)
        cos, sin = (t[:, :, None] for t in self._body.rotary_emb(x, places))
        query, group, _ = self._heads
        mask = mask.repeat(1, 1, query // group, 1)
        for number, layer in enumerate(self._layers):
            normed = self._norm(x, layer.before_attention)
            mixed = self._attend(project(layer.qkv, normed), cos, sin, mask, number)
            x = x + project(layer.out, mixed)
            normed = self._norm(x, layer.before_feed)
            gate, up = project(layer.gate_up, normed).chunk(2, dim=-1)
            x = x + project(layer.down, functional.silu(gate).mul_(up))
        last = self._norm(x[:, -1:], self._body.norm.weight)
        return project(4 * len(self._layers), last)[:, -1]

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(x, weight.shape, weight, self._epsilon)

    def _attend(self, qkv: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, number: int) -> Tensor:
        """qkv (rows, tokens, (heads + 2 groups) * size) -> (rows, tokens, heads * size).

        The heads that share keys are laid end to end as if they were tokens: their keys need not
        be copied for each of them, which is what takes longest in a step."""
        query, group, size = self._heads
        rows, tokens, _ = qkv.shape
        qkv = qkv.view(rows, tokens, query + 2 * group, size)
        turned = rotate(qkv[:, :, : query + group], cos, sin).transpose(1, 2)
        values = qkv[:, :, query + group :].transpose(1, 2)
        keys, values = self._cache.update(turned[:, query:], values, number)
        asked = turned[:, :query].reshape(rows, group, -1, size)
        mixed = functional.scaled_dot_product_attention(asked, keys, values, attn_mask=mask)
        mixed = mixed.view(rows, query, tokens, size).transpose(1, 2)
        return mixed.reshape(rows, tokens, query * size)
