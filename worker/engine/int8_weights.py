"""Weights rounded to 8 bits (the number format int8): whole numbers from -127 to 127, and a scale
for each group of weights of a row, as in llama.cpp's Q8_0.

OpenVINO multiplies with the whole numbers themselves (openvino/graph.py). Whatever else computes
gets the rounded weights in bf16 or fp32, so the same model answers, up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.memory import MappedFiles

GROUP = 32  # weights with one scale
LARGEST = 127


@dataclass(frozen=True)
class Int8Weight:
    """A weight (out, in). numbers: int8 (out, groups, group). scales: fp32 (out, groups, 1)."""

    numbers: Tensor
    scales: Tensor

    def weight(self) -> Tensor:
        """(out, in) in fp32"""
        return (self.numbers * self.scales).flatten(1)


def to_int8(weight: Tensor) -> Int8Weight:
    """weight (out, in); where `in` is no multiple of GROUP, a row is one group.

    What is rounded gives the same numbers and scales once more, also if it is kept in bf16.
    """
    rows, columns = weight.shape
    groups = columns // GROUP if columns % GROUP == 0 else 1
    grouped = weight.detach().float().view(rows, groups, columns // groups)
    # The largest as bf16 keeps it: else it would give another scale once it is kept so.
    scales = grouped.abs().amax(dim=2, keepdim=True).bfloat16().float() / LARGEST
    scales[scales == 0] = 1.0  # a group of zeros
    return Int8Weight((grouped / scales).round_().to(torch.int8), scales)


def fill_group(rows: Tensor) -> Tensor:
    """With rows of zeros, up to a multiple of GROUP."""
    return functional.pad(rows, (0, 0, 0, -len(rows) % GROUP))


@torch.no_grad()
def round_weights(model: Any) -> None:
    """Of all linear layers. An embedding that the LM head shares is rounded with it.

    Not in place: pages that are mapped from the model's file may be given back at any time
    (worker/memory.py), and what was written there would be lost.
    """
    files = MappedFiles()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            weight = module.weight.data
            module.weight.data = to_int8(weight).weight().to(weight.dtype)
            files.release_pages([weight])
