"""The linear layers of a forward pass, with the adapter of each sequence.

A projection is computed in one of three ways: the base weights alone; the base weights with all
adapters of the batch beside them (batched_lora.py); or, when every sequence uses the adapter that
is merged, the merged weights (adapter_merging.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from worker.engine.adapter_merging import AdapterMerger
from worker.engine.adapters import Adapters
from worker.engine.batched_lora import BatchedLora
from worker.engine.packed_linear import FusedLinear, PackedLinear, fits_second_copy


class Project(Protocol):
    """Index of a projection and x (rows, 1, in) -> (rows, 1, out). rows: which ones of the forward
    pass x has; all by default."""

    def __call__(self, index: int, x: Tensor, rows: list[int] | None = None) -> Tensor: ...


class AdaptedProjections:
    """All projections of one model."""

    def __init__(self, layers: Sequence[FusedLinear], adapters: Adapters) -> None:
        pack = fits_second_copy([one.weight for one in layers])
        self._linears = [PackedLinear(one.weight, one.bias, pack=pack) for one in layers]
        self._lora = BatchedLora(adapters, [one.parts for one in layers])
        self.merger = AdapterMerger(layers, self._linears, self._lora, adapters)

    def for_batch(self, adapters: Sequence[str]) -> Project:
        """The projections of the next forward pass; `adapters` names each row's adapter."""
        merged = self.merger.next_forward(adapters)
        if merged:
            return lambda index, x, rows=None: merged[index](x)
        plan = self._lora.plan(adapters)
        if plan:
            return lambda index, x, rows=None: plan.apply(index, self._linears[index], x, rows)
        return lambda index, x, rows=None: self._linears[index](x)
