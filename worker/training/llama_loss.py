"""A Llama's training step on a processor, several times faster than the general way.

Same weights, same adapter, same loss and gradients as `steps.CausalLMLoss` (a test holds them
together), for models of the Llama family whose linear layers all carry an adapter. What makes
it fast, on a processor without a GPU:

- what all rows of a batch begin with (instructions, the template's opening) is computed once;
- q, k, v are one product and so are gate and up; the adapters on them are fused too;
- derivatives are written by hand (llama_autograd.py);
- the last layer's feed-forward part and the head see only positions that are learned.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import nn

from worker.llama import ATTENTION, FEED_FORWARD, fuse, heads_of, is_plain
from worker.training.data import Batch
from worker.training.llama_autograd import Attention, HeadLoss, LoraLinear, RmsNorm, SwiGlu


def is_supported(model: PeftModel) -> bool:
    """Whether this model and adapter are exactly of the kind computed here."""
    config: Any = model.get_base_model().config
    lora: Any = model.peft_config["default"]
    return (
        is_plain(config)
        and not lora.lora_dropout
        and all(hasattr(p, "lora_A") for p in _projections(model))
        and next(model.parameters()).device.type == "cpu"
    )


def _projections(model: PeftModel) -> list[Any]:
    """Every linear layer of every block."""
    names = (*ATTENTION, "o_proj", *FEED_FORWARD, "down_proj")
    whole: Any = model.get_base_model()
    return [
        getattr(layer.self_attn if hasattr(layer.self_attn, name) else layer.mlp, name)
        for layer in whole.model.layers
        for name in names
    ]


@dataclass
class Projection:
    """One or more adapted linear layers with the same input, fused.

    The original layers keep working: their weights become views of the fused one.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    scale: float
    pairs: list[nn.Parameter]

    @classmethod
    def fuse(cls, *layers: Any) -> "Projection":
        weight, bias = fuse([layer.base_layer for layer in layers])
        pairs = [
            w for x in layers for w in (x.lora_A["default"].weight, x.lora_B["default"].weight)
        ]
        return cls(weight, bias, layers[0].scaling["default"], pairs)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = LoraLinear.apply(x, self.weight, self.bias, self.scale, *self.pairs)
        return out


@dataclass(frozen=True)
class Layout:
    """A batch laid end to end: the shared prefix once, then every row's own real tokens.

    ids (N); learned (n), where something is learned; cos and sin (N, 1, size), the rotary
    tables; places and shape as `llama_autograd.Attention` wants them.
    """

    input_ids: torch.Tensor
    loss_mask: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor
    places: torch.Tensor
    shape: tuple[int, int, int]


class Layer:
    """One block: attention, then feed-forward, each added to what came in."""

    def __init__(self, block: Any, heads: tuple[int, int, int], epsilon: float) -> None:
        self.heads, self.epsilon = heads, epsilon
        self.before_attention = block.input_layernorm.weight.detach()
        self.before_feed_forward = block.post_attention_layernorm.weight.detach()
        self.qkv = Projection.fuse(*(getattr(block.self_attn, name) for name in ATTENTION))
        self.out = Projection.fuse(block.self_attn.o_proj)
        self.gate_up = Projection.fuse(*(getattr(block.mlp, name) for name in FEED_FORWARD))
        self.down = Projection.fuse(block.mlp.down_proj)

    @property
    def projections(self) -> tuple["Projection", ...]:
        return self.qkv, self.out, self.gate_up, self.down

    def __call__(
        self,
        x: torch.Tensor,
        layout: Layout,
        keep: torch.Tensor | None,
    ) -> torch.Tensor:
        """x (N, width) -> (N, width), or only its `keep` tokens."""
        normed = RmsNorm.apply(x, self.before_attention, self.epsilon)
        mixed = Attention.apply(
            self.qkv(normed), layout.cos, layout.sin, layout.places, layout.shape, self.heads
        )
        if keep is not None:
            x, mixed = x[keep], mixed[keep]
        x = x + self.out(mixed)
        normed = RmsNorm.apply(x, self.before_feed_forward, self.epsilon)
        return x + self.down(SwiGlu.apply(self.gate_up(normed)))


class LlamaLoss:
    """Batch -> summed loss of its learned tokens; see the top of this file."""

    def __init__(self, model: PeftModel) -> None:
        self._model = model
        whole: Any = model.get_base_model()
        self._body, config = whole.model, whole.config
        self._head = whole.lm_head.weight.detach()
        self._epsilon = config.rms_norm_eps
        self._layers = [
            Layer(block, heads_of(config), self._epsilon) for block in self._body.layers
        ]

    def __call__(self, batch: Batch, wanted: torch.Tensor | None = None) -> torch.Tensor:
        labels = batch.labels if wanted is None else wanted
        loss: torch.Tensor = HeadLoss.apply(self._states(batch), self._head, labels)
        return loss

    def probabilities(self, batch: Batch) -> torch.Tensor:
        """See `steps.Loss`."""
        return torch.softmax((self._states(batch) @ self._head.t()).float(), dim=-1)

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """See `steps.Loss`; the adapters computed here are scaled to nothing meanwhile."""
        projections = [p for layer in self._layers for p in layer.projections]
        scales = [projection.scale for projection in projections]
        try:
            for projection in projections:
                projection.scale = 0.0
            with self._model.disable_adapter():  # for what the model itself computes
                yield
        finally:
            for projection, scale in zip(projections, scales, strict=True):
                projection.scale = scale

    def _states(self, batch: Batch) -> torch.Tensor:
        """What the head reads, (learned, width)."""
        layout = self._lay_out(batch)
        x = self._body.embed_tokens(layout.input_ids)
        for layer in self._layers[:-1]:
            x = layer(x, layout, None)
        x = self._layers[-1](x, layout, layout.loss_mask)
        states: torch.Tensor = RmsNorm.apply(x, self._body.norm.weight.detach(), self._epsilon)
        return states

    def _lay_out(self, batch: Batch) -> Layout:
        prefix = shared_prefix(batch)
        rows, longest = batch.input_ids.shape
        order = torch.arange(longest, device=batch.input_ids.device)
        real = (order < batch.lengths[:, None])[:, prefix:].flatten()
        places = real.nonzero().flatten()
        ids = torch.cat(
            (batch.input_ids[0, :prefix], batch.input_ids[:, prefix:].flatten()[places])
        )
        at = torch.cat((order[:prefix], order[prefix:].repeat(rows)[places]))
        cos, sin = self._body.rotary_emb(self._head[:1], order[None])
        return Layout(
            ids,
            batch.loss_mask[:, prefix:].flatten()[places].nonzero().flatten() + prefix,
            cos[0, at, None],
            sin[0, at, None],
            places,
            (prefix, rows, longest - prefix),
        )


def shared_prefix(batch: Batch) -> int:
    """How many tokens all rows begin with, before anything is learned; 0 for a single row."""
    if len(batch.input_ids) == 1:
        return 0
    same = (batch.input_ids == batch.input_ids[:1]).all(dim=0) & ~batch.loss_mask.any(dim=0)
    within = torch.arange(len(same), device=same.device) < int(batch.lengths.min()) - 1
    return int((same & within).long().cumprod(dim=0).sum())
