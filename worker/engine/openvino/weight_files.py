"""The weights of a model whose steps OpenVINO computes, in files.

OpenVINO packs them into a layout of its own. Afterwards hardly anybody reads them: the embedding
row by row, transformers' layers when an adapter is checked. So they take no memory meanwhile
(`memory.release_pages`): with the starter in bf16 that is a quarter of a gigabyte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from worker.engine.llama_forward import fused_linears
from worker.engine.packed_linear import FusedLinear
from worker.memory import MappedFiles, in_file


def linears_in_files(model: Any) -> Iterator[FusedLinear]:
    """As `fused_linears`; the model's own layers use the same memory."""
    files = MappedFiles()
    for linear in fused_linears(model):
        weight = in_file(linear.weight.detach())
        files.release_pages([linear.weight])  # of the model's own file, where they are one layer's
        start = 0
        for name, columns in linear.parts:
            model.get_submodule(name).weight.data = weight[start : start + columns]
            start += columns
        yield replace(linear, weight=weight)
