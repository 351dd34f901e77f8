"""Linear layers whose weights are packed in oneDNN's own memory layout.

A decode step spends its time reading weights. oneDNN, which computes for torch on a CPU, reads its
own layout faster than torch's: 1.3 to 2 times in bf16, 2 to 4 times in fp32. Where memory is
plentiful, a second copy of the weights is kept in that layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from finetune_app.core.machine import this_machine

COPY_SHARE = 0.2  # of the free memory, for a second copy of the weights


@dataclass(frozen=True)
class FusedLinear:
    """Linear layers with the same input, as one: weight (out, in), bias (out,).

    parts: name and number of output columns of each layer.
    """

    weight: Tensor
    bias: Tensor | None
    parts: list[tuple[str, int]]


class PackedLinear:
    """x (..., in) -> x @ weight.T + bias (..., out)."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, pack: bool) -> None:
        packed = _pack(weight) if pack else None
        self._weight, self._bias = weight if packed is None else packed, bias
        self.is_packed = packed is not None

    def __call__(self, x: Tensor) -> Tensor:
        if not self.is_packed:
            return functional.linear(x, self._weight, self._bias)
        return _packed_linear(x, self._weight, self._bias)


def free_bytes(device: torch.device) -> int:
    """Free memory of the device."""
    return torch.cuda.mem_get_info()[0] if device.type == "cuda" else this_machine().free_bytes


def fits_second_copy(weights: Sequence[Tensor]) -> bool:
    """Whether a second copy of these weights leaves enough memory for everything else."""
    needed = sum(weight.numel() * weight.element_size() for weight in weights)
    return needed <= COPY_SHARE * free_bytes(weights[0].device)


# These two ops are what torch.compile uses for the same purpose. They are private and may change:
# the probe of decoder.py checks their results whenever a model is loaded.


def _pack(weight: Tensor) -> Tensor | None:
    """A copy in oneDNN's layout; None where this processor or this torch does not support it."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return None
    try:
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)
        _packed_linear(weight[:1], packed, None)
    except (RuntimeError, AttributeError):
        return None
    return packed


def _packed_linear(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return out
