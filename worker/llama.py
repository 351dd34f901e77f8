"""What training and the engine both know about models of the Llama family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

FAMILY = ("llama", "qwen2", "mistral")
ATTENTION = ("q_proj", "k_proj", "v_proj")
FEED_FORWARD = ("gate_proj", "up_proj")


def is_plain(config: Any) -> bool:
    """Whether a model with this configuration computes exactly what is written out here: full
    attention, silu, no dropout."""
    return bool(
        config.model_type in FAMILY
        and config.hidden_act == "silu"
        and not getattr(config, "attention_dropout", 0.0)
        and not (getattr(config, "sliding_window", None) and config.model_type != "qwen2")
        and not getattr(config, "use_sliding_window", False)
        and not getattr(config, "pretraining_tp", 1) > 1
    )


def heads_of(config: Any) -> tuple[int, int, int]:
    """Query heads, key-value heads, and the size of each."""
    query, group = config.num_attention_heads, config.num_key_value_heads
    return query, group, getattr(config, "head_dim", None) or config.hidden_size // query


def fuse(layers: Sequence[nn.Linear]) -> tuple[Tensor, Tensor | None]:
    """Weights (out, in) and biases of linear layers with the same input, as those of one layer.

    The layers keep working: their weights become views of the fused one.
    """
    weight = torch.cat([layer.weight.detach() for layer in layers])
    start = 0
    for layer in layers:
        layer.weight.data = weight[start : start + layer.weight.shape[0]]
        start += layer.weight.shape[0]
    if layers[0].bias is None:
        return weight, None
    return weight, torch.cat([layer.bias.detach() for layer in layers])


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions: x (N, heads, size) turned by each token's angles; -sin turns back."""
    half = x.shape[-1] // 2
    out = x * cos
    out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1)
    out[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return out
