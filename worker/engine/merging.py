"""An adapter that a model serves alone is merged into a copy of its weights.

Beside the weights it costs two more products a projection; within them, nothing. Once so many
forwards were all its own it is merged, a layer in each, so that nobody waits for it. Rows that
come together with the base model's or another adapter's are computed the other way meanwhile: same
scores up to rounding, same attention memory. Another adapter takes its place in the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.adapters import BASE, Adapters
from worker.engine.products import Product, may_copy
from worker.engine.stacks import Aimed, Identity, Stacks

log = logging.getLogger(__name__)

PATIENCE = 128  # forwards of its own: two or three answers
AT_ONCE = 4  # projections merged in one forward: a layer's
# How far a merged product may be from the other way, as a share of the other's spread. Rounding the
# merged weights explains 0.004 in bf16 and 1e-6 in fp32 (the starter, tuned).
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.01}


@dataclass(frozen=True)
class Projection:
    """Linear layers with the same input, fused: weight (out, in). parts: each one's name, and how
    many columns it writes."""

    weight: Tensor
    bias: Tensor | None
    parts: list[tuple[str, int]]


class Merging:
    """Which adapter of a model is merged, and which one is about to be.

    products: of the base model's weights. stacks: of the adapters beside them.
    """

    def __init__(
        self, projections: Sequence[Projection], products: Sequence[Product],
        stacks: Stacks, adapters: Adapters,
    ) -> None:  # fmt: skip
        self._projections, self._products = projections, products
        self._stacks, self._adapters = stacks, adapters
        self._merged: tuple[Identity, list[Product]] | None = None
        self._lone: Identity | None = None  # who had the last forwards to itself, and how many
        self._forwards = 0
        self._draft: list[Product] = []
        self._unfit: set[Identity] = set()

    @property
    def adapter(self) -> str | None:
        """The one that is merged, by the name that `Adapters.load` gave it."""
        return self._merged[0][0] if self._merged else None

    def products(self, names: Sequence[str]) -> list[Product] | None:
        """Those that serve a forward of rows with these adapters; None where none is merged that
        all of them use. To be asked before each forward: it is how they are counted."""
        found = set(names)
        if len(found) == 1 and BASE not in found:
            return self._of(names[0])
        if len(found - {BASE}) > 1:
            self._begin(None)
        return None

    def _of(self, name: str) -> list[Product] | None:
        identity = self._adapters.identity(name)
        if self._merged and self._merged[0] == identity:
            return self._merged[1]
        if identity != self._lone:
            self._begin(identity)
        self._forwards += 1
        if self._forwards > PATIENCE and identity not in self._unfit:
            self._go_on(name, identity)
        return None

    def _begin(self, lone: Identity | None) -> None:
        self._lone, self._forwards, self._draft = lone, 0, []

    def _go_on(self, name: str, identity: Identity) -> None:
        if not self._draft:
            if not may_copy([one.weight for one in self._projections]):
                self._begin(identity)  # there may be memory later
                return
            self._merged = None
        try:
            self._merge_some(name)
        except (RuntimeError, MemoryError) as problem:  # nobody's answer is to end with it
            log.warning("%s stays beside the weights: %s", name, problem)
            self._unfit.add(identity)
            self._begin(None)
        if len(self._draft) == len(self._projections):
            self._merged = identity, self._draft
            self._begin(None)
            log.info("merged %s", name)

    def _merge_some(self, name: str) -> None:
        """Raises RuntimeError where the products are not the same."""
        aimed = self._stacks.aim([name])
        assert aimed is not None
        for _ in range(min(AT_ONCE, len(self._projections) - len(self._draft))):
            number = len(self._draft)
            product = self._merge(number, name)
            error = self._error(number, product, aimed)
            if not error <= TOLERANCE[self._adapters.dtype]:
                raise RuntimeError(f"projection {number} was off by {error:.3g}")
            self._draft.append(product)

    def _merge(self, number: int, name: str) -> Product:
        """Added in fp32 and rounded once."""
        projection = self._projections[number]
        pairs = [self._adapters.pair(name, layer) for layer, _ in projection.parts]
        if not any(pairs):
            return self._products[number]
        weight = projection.weight.to(torch.float32, copy=True)
        start = 0
        for pair, (_, columns) in zip(pairs, projection.parts, strict=True):
            if pair:
                weight[start : start + columns].addmm_(pair.up.float(), pair.down.float())
            start += columns
        rearranged = self._products[number].rearranged
        return Product(weight.to(self._adapters.dtype), projection.bias, rearranged=rearranged)

    def _error(self, number: int, product: Product, aimed: Aimed) -> float:
        """How far a merged product is from the adapter beside the weights, on one made-up row."""
        inputs = self._projections[number].weight.shape[1]
        x = torch.linspace(-1, 1, inputs, device=self._adapters.device).to(self._adapters.dtype)
        x = x.sin_().view(1, 1, -1)
        beside = self._products[number](x)
        aimed.add(number, x, beside)
        return float((product(x) - beside).float().std() / (beside.float().std() + 1e-9))
