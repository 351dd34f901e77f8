"""What the rows of a forward are multiplied with: the base model's weights and each row's adapter
beside them or, for rows of the one adapter that is merged, the weights with it in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from worker.engine.adapters import Adapters
from worker.engine.merging import Merging
from worker.engine.products import Product, Projection, may_copy
from worker.engine.stacks import Stacks

# A projection's place in the list and x (rows, tokens, in) -> (rows, tokens, out).
Project = Callable[[int, Tensor], Tensor]


class Weights:
    """Those of one model."""

    def __init__(self, projections: Sequence[Projection], adapters: Adapters) -> None:
        twice = may_copy([one.weight for one in projections])
        self._products = [Product(one.weight, one.bias, rearrange=twice) for one in projections]
        self._stacks = Stacks(adapters, [one.parts for one in projections])
        self.merging = Merging(projections, self._products, self._stacks, adapters)

    def of(self, adapters: Sequence[str]) -> Project:
        """For the next forward, whose rows use these adapters."""
        merged = self.merging.next_forward(adapters)
        if merged:
            return lambda number, x: merged[number](x)
        aimed = self._stacks.aim(adapters)
        if aimed:
            return lambda number, x: aimed.multiply(number, self._products[number], x)
        return lambda number, x: self._products[number](x)
