"""The loss of Llama-like models on a CPU, several times faster than `losses.CausalLMLoss`.

Same weights, same adapter, same loss and gradients (a test compares them), for models of the Llama
family in which every linear layer has an adapter. What makes it fast without a GPU:

- the prefix that all examples of a batch share (instructions, the template's start) is computed
  once; replay examples that begin otherwise do not see it;
- q, k and v are one product and so are gate and up; their adapters are fused too;
- backward passes are written by hand (llama_autograd.py);
- the last layer's feed-forward part and the LM head see only positions that are learned.

In shapes, `tokens` is the number of tokens of a batch without padding, laid end to end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from peft import PeftModel
from torch import nn

from worker.llama import (
    ATTENTION,
    FEED_FORWARD,
    fuse_linears,
    head_sizes,
    is_standard,
    may_fuse,
    projections,
)
from worker.training.data import Batch
from worker.training.full_model import FullModel
from worker.training.llama_autograd import (
    Attention,
    GridShape,
    HeadLoss,
    LoraLinear,
    RmsNorm,
)
from worker.training.lm_head import TokenLosses, with_replay


def is_supported(model: PeftModel | FullModel) -> TypeGuard[PeftModel]:
    """Whether this model, adapter and device are exactly what is computed here."""
    if isinstance(model, FullModel):
        return False
    base: Any = model.get_base_model()
    lora: Any = model.peft_config["default"]
    return (
        is_standard(base.config)
        and not lora.lora_dropout
        and all(hasattr(layer, "lora_A") for layer in projections(base))
        and may_fuse(base)
        and next(model.parameters()).device.type == "cpu"
    )


@dataclass
class LoraProjection:
    """One or more adapted linear layers with the same input, fused.

    The original layers keep working: their weights become views of the fused one.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    scale: float
    lora_weights: list[nn.Parameter]
    """A and B of each layer, in turn."""

    @classmethod
    def fuse(cls, *layers: Any) -> "LoraProjection":
        weight, bias = fuse_linears([layer.base_layer for layer in layers])
        lora_weights = [
            w for x in layers for w in (x.lora_A["default"].weight, x.lora_B["default"].weight)
        ]
        return cls(weight, bias, layers[0].scaling["default"], lora_weights)

    def __call__(self, x: torch.Tensor, *, gated: bool = False) -> torch.Tensor:
        """(tokens, in) -> (tokens, out). gated: see `LoraLinear`."""
        out: torch.Tensor = LoraLinear.apply(
            x, self.weight, self.bias, self.scale, gated, *self.lora_weights
        )
        return out


@dataclass(frozen=True)
class PackedBatch:
    """A batch laid end to end: the shared prefix once, then the rest of every example.

    input_ids: (tokens,).
    learned: (learned,) indices of tokens whose next token is learned.
    cos, sin: (tokens, 1, head_size), rotary tables.
    grid_positions, shape: see `llama_autograd.Attention`.
    """

    input_ids: torch.Tensor
    learned: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor
    grid_positions: torch.Tensor
    shape: GridShape


class Layer:
    """One decoder layer: attention, then feed-forward, each with its residual connection."""

    def __init__(self, block: Any, heads: tuple[int, int, int], epsilon: float) -> None:
        self.heads, self.epsilon = heads, epsilon
        self.attention_norm = block.input_layernorm.weight.detach()
        self.feed_forward_norm = block.post_attention_layernorm.weight.detach()
        self.qkv = LoraProjection.fuse(*(getattr(block.self_attn, name) for name in ATTENTION))
        self.out = LoraProjection.fuse(block.self_attn.o_proj)
        self.gate_up = LoraProjection.fuse(*(getattr(block.mlp, name) for name in FEED_FORWARD))
        self.down = LoraProjection.fuse(block.mlp.down_proj)

    @property
    def projections(self) -> tuple[LoraProjection, ...]:
        return self.qkv, self.out, self.gate_up, self.down

    def __call__(
        self, x: torch.Tensor, batch: PackedBatch, keep: torch.Tensor | None
    ) -> torch.Tensor:
        """x (tokens, width) -> (tokens, width), or only the tokens `keep`."""
        normed = RmsNorm.apply(x, self.attention_norm, self.epsilon)
        attended = Attention.apply(
            self.qkv(normed), batch.cos, batch.sin, batch.grid_positions, batch.shape, self.heads
        )
        if keep is not None:
            x, attended = x[keep], attended[keep]
        x = x + self.out(attended)
        normed = RmsNorm.apply(x, self.feed_forward_norm, self.epsilon)
        return x + self.down(self.gate_up(normed), gated=True)


class LlamaLoss:
    """See `losses.Loss`, and the top of this file."""

    pads, shares = False, True

    def __init__(self, model: PeftModel) -> None:
        self._model = model
        base: Any = model.get_base_model()
        self._body, config = base.model, base.config
        self._head = base.lm_head.weight.detach()  # (vocabulary, width)
        self._epsilon = config.rms_norm_eps
        self.layers = [
            Layer(block, head_sizes(config), self._epsilon) for block in self._body.layers
        ]

    def __call__(self, batch: Batch, probabilities: torch.Tensor | None = None) -> TokenLosses:
        return with_replay(self._head_losses, self.states(batch), batch.labels, probabilities)

    def _head_losses(self, states: torch.Tensor, targets: torch.Tensor) -> TokenLosses:
        return TokenLosses(*HeadLoss.apply(states, self._head, targets))

    def head_probabilities(self, states: torch.Tensor) -> torch.Tensor:
        """See `losses.Loss`."""
        return torch.softmax((states @ self._head.t()).float(), dim=-1)

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """See `losses.Loss`; the adapters that are computed here are scaled to zero meanwhile."""
        projections = [p for layer in self.layers for p in layer.projections]
        scales = [projection.scale for projection in projections]
        try:
            for projection in projections:
                projection.scale = 0.0
            with self._model.disable_adapter():  # for what the model itself computes
                yield
        finally:
            for projection, scale in zip(projections, scales, strict=True):
                projection.scale = scale

    def states(self, batch: Batch) -> torch.Tensor:
        """See `losses.Loss`."""
        packed = self._pack(batch)
        x = self._body.embed_tokens(packed.input_ids)
        for layer in self.layers[:-1]:
            x = layer(x, packed, None)
        x = self.layers[-1](x, packed, packed.learned)
        states: torch.Tensor = RmsNorm.apply(x, self._body.norm.weight.detach(), self._epsilon)
        return states

    def _pack(self, batch: Batch) -> PackedBatch:
        own, (rows, longest) = batch.own_rows, batch.input_ids.shape
        prefix = shared_prefix(batch, own)
        strangers = 0 if shared_prefix(batch, rows) >= prefix else batch.replay_rows
        order = torch.arange(longest, device=batch.input_ids.device)
        starts = (prefix * (order.new_ones(rows).cumsum(0) <= rows - strangers))[:, None]
        suffix = int((batch.lengths[:, None] - starts).max())
        grid = starts + order[:suffix]  # (rows, suffix), the place of each token in its example
        grid_positions = (grid < batch.lengths[:, None]).flatten().nonzero().flatten()
        grid = grid.clamp(max=longest - 1)

        def of_suffixes(values: torch.Tensor) -> torch.Tensor:
            return values.gather(1, grid).flatten()[grid_positions]

        input_ids = torch.cat((batch.input_ids[0, :prefix], of_suffixes(batch.input_ids)))
        position_ids = torch.cat((order[:prefix], grid.flatten()[grid_positions]))
        cos, sin = self._body.rotary_emb(self._head[:1], order[None])
        return PackedBatch(
            input_ids,
            of_suffixes(batch.loss_mask).nonzero().flatten() + prefix,
            cos[0, position_ids, None],
            sin[0, position_ids, None],
            grid_positions,
            GridShape(prefix, rows, suffix, strangers),
        )


def shared_prefix(batch: Batch, rows: int) -> int:
    """Number of tokens that the first `rows` examples begin with, before anything is learned.

    0 for a single example, which shares with none.
    """
    if rows < 2:
        return 0
    ids, mask, lengths = batch.input_ids[:rows], batch.loss_mask[:rows], batch.lengths[:rows]
    same = (ids == ids[:1]).all(dim=0) & ~mask.any(dim=0)
    within = torch.arange(len(same), device=same.device) < int(lengths.min()) - 1
    return int((same & within).long().cumprod(dim=0).sum())
