"""An adapter that a model serves alone is merged into a copy of its weights.

Beside the weights it costs two more products a projection; within them, nothing. Once so many
forwards were all its own it is merged, a layer in each. Rows that come together with the base
model's or another adapter's are computed the other way meanwhile: same scores up to rounding, same
attention memory.

In bf16 a merge rounds: a change of a weight by less than half a step is lost. Where that would be
too much of what an adapter does to a projection, it stays beside that projection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.adapters import BASE, Adapters, Lora
from worker.engine.batched_lora import AdapterIdentity, BatchedLora, LoraPlan
from worker.engine.packed_linear import FusedLinear, PackedLinear, fits_second_copy

log = logging.getLogger(__name__)

MERGE_AFTER_FORWARDS = 128  # forwards of its own
REPLACE_FACTOR = 8  # times as many, where another one is merged and was not asked meanwhile
PROJECTIONS_PER_FORWARD = 4  # projections merged in one forward: a layer's
# Of an adapter's change to a projection, by the Frobenius norm. The tuned starter loses 0.12 to
# 0.59, most of it where no text goes: of what the change does to a text's states 0.15 is lost in
# the middle, and rounding the product's own result to bf16 is as much (0.19).
MAX_ROUNDING_LOSS = 0.5
# How far a merged product may be from fp32, as a share of its spread.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.02}

Multiply = Callable[[Tensor], Tensor]


class CannotMerge(RuntimeError):
    """This adapter cannot be merged, now or later."""


@dataclass(frozen=True)
class Merged:
    """An adapter, and how its rows are multiplied at each projection."""

    identity: AdapterIdentity
    products: list[Multiply]


class AdapterMerger:
    """Which adapter of a model is merged, and which one is about to be.

    products: of the base model's weights. stacks: of the adapters beside them.
    """

    def __init__(
        self,
        projections: Sequence[FusedLinear],
        products: Sequence[PackedLinear],
        stacks: BatchedLora,
        adapters: Adapters,
    ) -> None:
        self._projections, self._products = projections, products
        self._stacks, self._adapters = stacks, adapters
        self._merged: Merged | None = None
        self._sole_adapter: AdapterIdentity | None = (
            None  # who had the last forwards to itself, and how many
        )
        self._forwards = 0
        self._draft: list[Multiply] = []
        self._interrupted_merges = 0  # merges; each makes the next one wait twice as long
        self._unfit: set[AdapterIdentity] = set()

    @property
    def adapter(self) -> str | None:
        """The one that is merged, by the name that `Adapters.load` gave it. From any thread."""
        merged = self._merged
        return merged.identity[0] if merged else None

    def next_forward(self, names: Sequence[str]) -> Sequence[Multiply] | None:
        """Count a forward of rows with these adapters, and merge on where it is time for that.
        Returns how they are multiplied if all use the one that is merged."""
        self._drop_stale_merge()
        found = set(names) - {BASE}
        if len(found) > 1:
            self._restart_count(None)
        if len(found) != 1 or BASE in names:
            return None
        name = names[0]
        identity = self._adapters.identity(name)
        if self._merged and self._merged.identity == identity:
            self._restart_count(None)
            return self._merged.products
        if self._adapters.may_merge and identity not in self._unfit:
            self._count(name, identity)
        return None

    def _drop_stale_merge(self) -> None:
        merged = self._merged
        if merged and self._adapters.identity(merged.identity[0]) != merged.identity:
            self._merged = None

    def _restart_count(self, lone: AdapterIdentity | None) -> None:
        self._interrupted_merges += bool(self._draft)
        self._sole_adapter, self._forwards, self._draft = lone, 0, []

    def _count(self, name: str, identity: AdapterIdentity) -> None:
        if identity != self._sole_adapter:
            self._restart_count(identity)
        self._forwards += 1
        threshold = MERGE_AFTER_FORWARDS * (REPLACE_FACTOR if self._merged else 1) << min(
            self._interrupted_merges, 6
        )
        if not self._draft and self._forwards <= threshold:
            return
        try:
            self._continue_merge(name, identity)
        except CannotMerge as why:
            log.warning("%s stays beside the weights: %s", name, why)
            self._unfit.add(identity)
            self._restart_count(None)
        except (RuntimeError, MemoryError) as problem:  # it may go later; no answer ends with it
            log.warning("%s is not merged now: %s", name, problem)
            self._restart_count(None)
            self._interrupted_merges += 1

    def _continue_merge(self, name: str, identity: AdapterIdentity) -> None:
        if not self._draft:
            self._merged = None  # its memory is the next one's
            if not fits_second_copy([one.weight for one in self._projections]):
                raise MemoryError("too little memory is free")
        plan = self._stacks.plan([name])
        assert plan is not None
        for number in range(len(self._draft), len(self._projections))[:PROJECTIONS_PER_FORWARD]:
            self._draft.append(self._merge(number, name, plan))
        if len(self._draft) < len(self._projections):
            return
        if not any(
            isinstance(one, PackedLinear) and one not in self._products for one in self._draft
        ):
            raise CannotMerge("rounding would lose too much of it everywhere")
        self._merged, self._draft, self._interrupted_merges = Merged(identity, self._draft), [], 0
        self._restart_count(None)
        log.info("merged %s", name)

    def _merge(self, number: int, name: str, plan: LoraPlan) -> Multiply:
        """In fp32 and rounded once. Raises CannotMerge where the product is not what it should
        be."""
        projection, base = self._projections[number], self._products[number]
        pairs = [self._adapters.pair(name, layer) for layer, _ in projection.parts]
        if not any(pairs):
            return base
        change = change_of(projection, pairs)
        exact = change + projection.weight
        weight = exact.to(self._adapters.dtype)
        lost = (weight.float() - exact).norm() / change.norm()
        if not float(lost) <= MAX_ROUNDING_LOSS:
            return lambda x: plan.multiply(number, base, x)
        product = PackedLinear(weight, projection.bias, rearrange=base.is_rearranged)
        error = self._error(product, exact, projection.bias)
        if not error <= TOLERANCE[self._adapters.dtype]:
            raise CannotMerge(f"the product {number} was off by {error:.3g}")
        return product

    def _error(self, product: PackedLinear, exact: Tensor, bias: Tensor | None) -> float:
        """How far a product is from fp32, on one made-up row."""
        draw = torch.Generator().manual_seed(0)
        x = torch.randn(1, exact.shape[1], generator=draw).to(exact.device, self._adapters.dtype)
        wanted = x.float() @ exact.t() + (0 if bias is None else bias.float())
        return float((product(x).float() - wanted).std() / (wanted.std() + 1e-9))


def change_of(projection: FusedLinear, pairs: Sequence[Lora | None]) -> Tensor:
    """What an adapter adds to a projection's weight, (out, in) in fp32; a pair for each part."""
    weight = projection.weight
    change = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
    start = 0
    for pair, (_, columns) in zip(pairs, projection.parts, strict=True):
        if pair:
            change[start : start + columns] = pair.up.float() @ pair.down.float()
        start += columns
    return change
