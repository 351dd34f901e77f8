"""Helpers for Llama models, shared by training and the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from worker.memory import MappedFiles

MODEL_TYPES = ("llama", "qwen2", "mistral")
ATTENTION = ("q_proj", "k_proj", "v_proj")
FEED_FORWARD = ("gate_proj", "up_proj")


def is_standard(config: Any) -> bool:
    """Whether our own implementation covers this configuration: full attention, silu, no
    dropout."""
    return bool(
        config.model_type in MODEL_TYPES
        and config.hidden_act == "silu"
        and not getattr(config, "attention_dropout", 0.0)
        and not (getattr(config, "sliding_window", None) and config.model_type != "qwen2")
        and not getattr(config, "use_sliding_window", False)
        and not getattr(config, "pretraining_tp", 1) > 1
    )


def projections(model: Any) -> list[Any]:
    """Every linear layer of every decoder layer."""
    names = (*ATTENTION, "o_proj", *FEED_FORWARD, "down_proj")
    return [
        getattr(layer.self_attn if hasattr(layer.self_attn, name) else layer.mlp, name)
        for layer in model.model.layers
        for name in names
    ]


def may_fuse(model: Any) -> bool:
    """Whether the projections' weights are matrices (out, in) that may be fused.

    Weights in 4-bit are packed bytes, and those that are trained belong to their optimizer.
    """
    return all(
        layer.weight.is_floating_point() and not layer.weight.requires_grad
        for layer in projections(model)
    )


def head_sizes(config: Any) -> tuple[int, int, int]:
    """(query heads, key-value heads, head size)."""
    query_heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // query_heads
    return query_heads, kv_heads, head_size


def fuse_linears(layers: Sequence[nn.Linear], files: MappedFiles) -> tuple[Tensor, Tensor | None]:
    """Weight (out, in) and bias (out,) of linear layers with the same input, as one layer.

    The layers keep working: their weights become views of the fused one. Layers that were fused
    before give the same weight again, without a copy. files: looked up since the model is there.
    """
    weight = _already_fused(layers)
    if weight is None:
        separate = [layer.weight.detach() for layer in layers]
        weight = torch.cat(separate)
        files.release_pages(separate)  # else the model takes up to twice its memory
    start = 0
    for layer in layers:
        layer.weight.data = weight[start : start + layer.weight.shape[0]]
        start += layer.weight.shape[0]
    if layers[0].bias is None:
        return weight, None
    return weight, torch.cat([layer.bias.detach() for layer in layers])


def _already_fused(layers: Sequence[nn.Linear]) -> Tensor | None:
    """The fused weight, if the layers' weights follow each other in one block of memory."""
    weights = [layer.weight.detach() for layer in layers]
    first = weights[0]
    expected = first.data_ptr()
    for weight in weights:
        if weight.data_ptr() != expected or not weight.is_contiguous():
            return None
        expected += weight.nbytes
    rows = sum(len(weight) for weight in weights)
    if first.untyped_storage().data_ptr() + first.untyped_storage().nbytes() < expected:
        return None  # neighbours by chance, in blocks of their own
    return first.as_strided((rows, first.shape[1]), (first.shape[1], 1))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of x (..., heads, head_size); with -sin, its inverse."""
    half = x.shape[-1] // 2
    out = x * cos
    out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1)
    out[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return out
