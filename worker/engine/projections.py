"""What the rows of a forward are multiplied with: the base model's weights and each row's adapter
beside them or, for rows of the one adapter that is merged, the weights with it in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from worker.engine.adapter_merging import AdapterMerger
from worker.engine.adapters import Adapters
from worker.engine.batched_lora import BatchedLora
from worker.engine.packed_linear import FusedLinear, PackedLinear, fits_second_copy

# A projection's place in the list and x (rows, tokens, in) -> (rows, tokens, out).
Project = Callable[[int, Tensor], Tensor]


class AdaptedProjections:
    """Those of one model."""

    def __init__(self, projections: Sequence[FusedLinear], adapters: Adapters) -> None:
        twice = fits_second_copy([one.weight for one in projections])
        self._products = [
            PackedLinear(one.weight, one.bias, rearrange=twice) for one in projections
        ]
        self._stacks = BatchedLora(adapters, [one.parts for one in projections])
        self.merger = AdapterMerger(projections, self._products, self._stacks, adapters)

    def of(self, adapters: Sequence[str]) -> Project:
        """For the next forward, whose rows use these adapters."""
        merged = self.merger.next_forward(adapters)
        if merged:
            return lambda number, x: merged[number](x)
        plan = self._stacks.plan(adapters)
        if plan:
            return lambda number, x: plan.multiply(number, self._products[number], x)
        return lambda number, x: self._products[number](x)
