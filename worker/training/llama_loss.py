"""The loss of Llama-like models on a CPU, several times faster than `losses.CausalLMLoss`.

Same weights, same adapter, same loss and gradients (a test compares them), for models of the Llama
family in which every linear layer has an adapter. What makes it fast without a GPU:

- the prefix that all examples of a batch share (instructions, the template's start) is computed
  once; replay examples that begin otherwise do not see it;
- q, k and v are one product and so are gate and up; their adapters are fused too;
- backward passes are written by hand (llama_autograd.py);
- the last layer's feed-forward part and the LM head see only positions that are learned.

In shapes, `tokens` is the number of tokens of a batch, laid end to end (llama_batch.py).
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
from worker.memory import MappedFiles
from worker.training.data import Batch
from worker.training.full_model import FullModel
from worker.training.llama_autograd import Attention, HeadLoss, LoraLinear, RmsNorm
from worker.training.llama_batch import AttentionLayout, pack
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
    def fuse(cls, files: MappedFiles, *layers: Any) -> "LoraProjection":
        weight, bias = fuse_linears([layer.base_layer for layer in layers], files)
        lora_weights = [
            w for x in layers for w in (x.lora_A["default"].weight, x.lora_B["default"].weight)
        ]
        return cls(weight, bias, layers[0].scaling["default"], lora_weights)

    def __call__(
        self, x: torch.Tensor, *, norm_weight: torch.Tensor | None = None, gated: bool = False
    ) -> torch.Tensor:
        """(tokens, in) -> (tokens, out). norm_weight, gated: see `LoraLinear`."""
        out: torch.Tensor = LoraLinear.apply(
            x, self.weight, self.bias, self.scale, norm_weight, gated, *self.lora_weights
        )
        return out


class Layer:
    """One decoder layer: attention, then feed-forward, each with its residual connection."""

    def __init__(self, block: Any, epsilon: float, files: MappedFiles) -> None:
        self.epsilon = epsilon
        self.attention_norm = block.input_layernorm.weight.detach()
        self.feed_forward_norm = block.post_attention_layernorm.weight.detach()
        fuse, attention, feed_forward = LoraProjection.fuse, block.self_attn, block.mlp
        self.qkv = fuse(files, *(getattr(attention, name) for name in ATTENTION))
        self.out = fuse(files, attention.o_proj)
        self.gate_up = fuse(files, *(getattr(feed_forward, name) for name in FEED_FORWARD))
        self.down = fuse(files, feed_forward.down_proj)

    @property
    def projections(self) -> tuple[LoraProjection, ...]:
        return self.qkv, self.out, self.gate_up, self.down

    def __call__(
        self,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        layout: AttentionLayout,
        keep: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """x (tokens, width) -> (tokens, width), or only the tokens `keep`. cos, sin: see
        `llama_autograd.Attention`."""
        normed = RmsNorm.apply(x, self.epsilon)
        qkv = self.qkv(normed, norm_weight=self.attention_norm)
        attended = Attention.apply(qkv, cos, sin, layout)
        if keep is not None:
            x, attended = x[keep], attended[keep]
        x = x + self.out(attended)
        normed = RmsNorm.apply(x, self.epsilon)
        gate_up = self.gate_up(normed, norm_weight=self.feed_forward_norm)
        return x + self.down(gate_up, gated=True)


class LlamaLoss:
    """See `losses.Loss`, and the top of this file."""

    pads, shares = False, True

    def __init__(self, model: PeftModel) -> None:
        base: Any = model.get_base_model()
        self._body, config = base.model, base.config
        self._head = base.lm_head.weight.detach()  # (vocabulary, width)
        self._heads, self._epsilon = head_sizes(config), config.rms_norm_eps
        files = MappedFiles()
        self.layers = [Layer(block, self._epsilon, files) for block in self._body.layers]

    def __call__(self, batch: Batch, probabilities: torch.Tensor | None = None) -> TokenLosses:
        return with_replay(self._head_losses, self.states(batch), batch.labels, probabilities)

    def _head_losses(self, states: torch.Tensor, targets: torch.Tensor) -> TokenLosses:
        return TokenLosses(*HeadLoss.apply(states, self._head, targets))

    def head_probabilities(self, states: torch.Tensor) -> torch.Tensor:
        """See `losses.Loss`."""
        return torch.softmax((states @ self._head.t()).float(), dim=-1)

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """See `losses.Loss`: the adapters are scaled to zero meanwhile. PEFT's own way of turning
        them off takes as long as reading a few rows, and nothing here is computed by PEFT."""
        projections = [p for layer in self.layers for p in layer.projections]
        scales = [projection.scale for projection in projections]
        try:
            for projection in projections:
                projection.scale = 0.0
            yield
        finally:
            for projection, scale in zip(projections, scales, strict=True):
                projection.scale = scale

    def states(self, batch: Batch) -> torch.Tensor:
        """See `losses.Loss`."""
        packed = pack(batch, self._heads, self._head.dtype)
        tables = self._body.rotary_emb(self._head[:1], packed.position_ids[None])
        cos, sin = (table[0, :, None] for table in tables)
        x = self._body.embed_tokens(packed.input_ids)
        for layer in self.layers[:-1]:
            x = layer(x, cos, sin, packed.layout)
        x = self.layers[-1](x, cos, sin, packed.layout, packed.learned)
        states: torch.Tensor = RmsNorm.apply(x, self._epsilon) * self._body.norm.weight.detach()
        return states
