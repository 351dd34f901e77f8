"""A Llama's forward for the decode loop, in as few operations as it takes.

A decode step of a small model spends its time in calling: transformers' layers make some 40 calls
each, and an adapter adds four for every linear layer. Here q, k and v are one product and so are
gate and up, all adapters of a batch are one pair of products (stacks.py), and nothing else is
called. Same weights, same cache, same scores up to rounding: the probe of stepper.py compares them
with the model's own whenever a model is loaded, and the model's own forward serves where they
differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional

from worker.engine.adapters import Adapters
from worker.engine.cache import SlotCache
from worker.engine.model import Loaded
from worker.engine.stacks import Aimed, Stacks
from worker.llama import ATTENTION, FEED_FORWARD, fuse, heads_of, is_plain, rotate


def is_supported(loaded: Loaded) -> bool:
    """Whether this model is of the kind computed here."""
    body = getattr(loaded.model, "model", None)
    return is_plain(loaded.model.config) and hasattr(body, "layers") and hasattr(body, "rotary_emb")


class Projection:
    """Linear layers with the same input, fused, with what adapters add to them."""

    def __init__(self, prefix: str, parent: Any, names: Sequence[str], number: int) -> None:
        layers = [getattr(parent, name) for name in names]
        self.weight, self.bias = fuse(layers)
        self.parts = [
            (f"{prefix}.{name}", layer.weight.shape[0])
            for name, layer in zip(names, layers, strict=True)
        ]
        self._number = number

    def __call__(self, x: Tensor, aimed: Aimed | None) -> Tensor:
        """x (rows, tokens, in) -> (rows, tokens, out)."""
        out = functional.linear(x, self.weight, self.bias)
        if aimed:
            aimed.add(self._number, x, out)
        return out


class Layer:
    """One block's weights."""

    def __init__(self, block: Any, number: int) -> None:
        prefix = f"model.layers.{number}"
        attention, feed = block.self_attn, block.mlp
        self.before_attention = block.input_layernorm.weight
        self.before_feed = block.post_attention_layernorm.weight
        self.qkv = Projection(f"{prefix}.self_attn", attention, ATTENTION, 4 * number)
        self.out = Projection(f"{prefix}.self_attn", attention, ["o_proj"], 4 * number + 1)
        self.gate_up = Projection(f"{prefix}.mlp", feed, FEED_FORWARD, 4 * number + 2)
        self.down = Projection(f"{prefix}.mlp", feed, ["down_proj"], 4 * number + 3)

    @property
    def projections(self) -> tuple[Projection, ...]:
        return self.qkv, self.out, self.gate_up, self.down


class FastLlama:
    """Tokens -> scores of the next one, writing into `cache` as transformers' own layers would."""

    def __init__(self, loaded: Loaded, adapters: Adapters, cache: SlotCache) -> None:
        model = loaded.model
        self._body, self._head, self._cache = model.model, model.lm_head, cache
        self._heads = heads_of(model.config)
        self._epsilon = model.config.rms_norm_eps
        self._layers = [Layer(block, i) for i, block in enumerate(self._body.layers)]
        projections = [one for layer in self._layers for one in layer.projections]
        self._stacks = Stacks(adapters, [one.parts for one in projections])

    def __call__(self, ids: Tensor, places: Tensor, mask: Tensor, adapters: list[str]) -> Tensor:
        """ids and places (rows, tokens), mask (rows, 1, tokens, seen) -> scores (rows, vocabulary)
        after the last column."""
        aimed = self._stacks.aim(adapters)
        x = self._body.embed_tokens(ids)
        cos, sin = (t[:, :, None] for t in self._body.rotary_emb(x, places))
        query, group, _ = self._heads
        mask = mask.repeat(1, 1, query // group, 1)
        for number, layer in enumerate(self._layers):
            normed = self._norm(x, layer.before_attention)
            qkv = layer.qkv(normed, aimed)
            mixed = self._attend(qkv, cos, sin, mask, number)
            x = x + layer.out(mixed, aimed)
            normed = self._norm(x, layer.before_feed)
            gate, up = layer.gate_up(normed, aimed).chunk(2, dim=-1)
            x = x + layer.down(functional.silu(gate).mul_(up), aimed)
        scores: Tensor = self._head(self._norm(x[:, -1], self._body.norm.weight))
        return scores

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
