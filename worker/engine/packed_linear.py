"""Products with weights, which lie as the processor reads them fastest.

A decode step spends its time in reading weights. oneDNN, which computes for torch on a processor,
reads an order of its own faster than torch's: 1.3 to 2 times in bf16, 2 to 4 times in fp32. So the
weights lie there a second time, in that order, where memory is plentiful.
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
    """Linear layers with the same input, fused: weight (out, in). parts: each one's name, and how
    many columns it writes."""

    weight: Tensor
    bias: Tensor | None
    parts: list[tuple[str, int]]


class PackedLinear:
    """x (..., in) -> (..., out): x @ weight.T + bias."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, rearrange: bool) -> None:
        made = _rearranged(weight) if rearrange else None
        self._weight, self._bias = weight if made is None else made, bias
        self.is_rearranged = made is not None

    def __call__(self, x: Tensor) -> Tensor:
        if not self.is_rearranged:
            return functional.linear(x, self._weight, self._bias)
        return _multiply(x, self._weight, self._bias)


def free_bytes(device: torch.device) -> int:
    """Memory that nobody uses where a model lies."""
    return torch.cuda.mem_get_info()[0] if device.type == "cuda" else this_machine().free_bytes


def fits_second_copy(weights: Sequence[Tensor]) -> bool:
    """Whether a second copy of these leaves memory for everything else."""
    needed = sum(weight.numel() * weight.element_size() for weight in weights)
    return needed <= COPY_SHARE * free_bytes(weights[0].device)


# The two functions with which torch's own compiler does this. They are not promised to stay as they
# are: what they give is compared by the probe of stepper.py whenever a model is loaded.


def _rearranged(weight: Tensor) -> Tensor | None:
    """A copy in oneDNN's order; None where this processor or this torch has none."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return None
    try:
        made: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)
        _multiply(weight[:1], made, None)
    except (RuntimeError, AttributeError):
        return None
    return made


def _multiply(x: Tensor, rearranged: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, rearranged, bias, "none", [], "")
    return out
