"""All adapters of a batch as one pair of products a projection, however many there are.

Applied one after the other, eight adapters cost eight times as many small products as one, and on
a processor each of them costs more in calling than in computing. AdapterSet by side they are
two: every
row meets the ranks of all adapters, and a mask of ones and zeros leaves it only its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.adapters import BASE, Adapters, Lora
from worker.engine.packed_linear import PackedLinear

AdapterIdentity = tuple[str, tuple[int, int] | None]  # as `Adapters.identity` tells adapters apart
Names = Sequence[tuple[str, int]]  # a projection's layers, and how many columns each one writes
MAX_STACKED_ADAPTERS = 16  # adapters in all stacks that are kept, each as often as it is in one


@dataclass(frozen=True)
class StackedLora:
    """Adapters side by side on one projection: down (in, ranks) and up (ranks, out).

    owners: which of the set's patterns tells the adapter that each rank belongs to.
    """

    down: Tensor
    up: Tensor
    owners: int


@dataclass(frozen=True)
class AdapterSet:
    """A set of adapters side by side: a stack for each projection (None where none of them changes
    it), and the patterns of owners (ranks,) that occur: most projections have the same."""

    adapters: list[AdapterIdentity]
    stacks: list[StackedLora | None]
    patterns: list[Tensor]


class LoraPlan:
    """What the rows of one forward need: each projection's stack, and what of it is a row's own."""

    def __init__(
        self, side: AdapterSet, rows: Sequence[AdapterIdentity | None], dtype: torch.dtype
    ) -> None:
        self.side, self.rows = side, rows
        self._masks: list[Tensor] | None = None
        if len(side.adapters) > 1 or None in rows:
            numbers = torch.tensor([side.adapters.index(one) if one else -1 for one in rows])
            self._masks = [
                (numbers.to(owners.device)[:, None] == owners)[:, None].to(dtype)
                for owners in side.patterns
            ]

    def multiply(self, number: int, product: PackedLinear, x: Tensor) -> Tensor:
        """x (rows, tokens, in) -> (rows, tokens, out): a projection's product, and what each row's
        adapter adds to it."""
        out = product(x)
        stack = self.side.stacks[number]
        if stack is not None:
            low = x @ stack.down
            if self._masks is not None:
                low.mul_(self._masks[stack.owners])
            out.view(-1, out.shape[-1]).addmm_(low.view(-1, low.shape[-1]), stack.up)
        return out


class BatchedLora:
    """The adapters of one model, side by side as the batches come to need them.

    Rows come and go all the time, and prompts are read for one adapter at a time: the sets that
    were used last are kept.
    """

    def __init__(self, adapters: Adapters, projections: Sequence[Names]) -> None:
        self._adapters, self._projections = adapters, projections
        self._kept: OrderedDict[frozenset[AdapterIdentity], AdapterSet] = OrderedDict()
        self._last: LoraPlan | None = None

    def plan(self, names: Sequence[str]) -> LoraPlan | None:
        """For a forward whose rows use these adapters; None where all are the base model's."""
        rows = [None if name == BASE else self._adapters.identity(name) for name in names]
        if not any(rows):
            return None
        if self._last is None or self._last.rows != rows:
            wanted = {name: one for name, one in zip(names, rows, strict=True) if one}
            self._last = LoraPlan(self._side(wanted), rows, self._adapters.dtype)
        return self._last

    def _side(self, wanted: dict[str, AdapterIdentity]) -> AdapterSet:
        key = frozenset(wanted.values())
        # What is there serves fewer adapters as well, as long as most of its work is theirs.
        fits = next((k for k in self._kept if key <= k and len(k) <= 2 * len(key)), None)
        if fits is None:
            fits, self._kept[key] = key, self._build(wanted)
        self._kept.move_to_end(fits)
        while len(self._kept) > 1 and sum(map(len, self._kept)) > MAX_STACKED_ADAPTERS:
            self._kept.popitem(last=False)
        return self._kept[fits]

    def _build(self, wanted: dict[str, AdapterIdentity]) -> AdapterSet:
        found: dict[tuple[int, ...], int] = {}
        stacks = [self._stack(list(wanted), layers, found) for layers in self._projections]
        patterns = [torch.tensor(owners, device=self._adapters.device) for owners in found]
        return AdapterSet(list(wanted.values()), stacks, patterns)

    def _stack(
        self, names: Sequence[str], layers: Names, patterns: dict[tuple[int, ...], int]
    ) -> StackedLora | None:
        parts: list[tuple[int, int, int, Lora]] = []  # adapter, first column, columns, its pair
        for number, name in enumerate(names):
            start = 0
            for layer, columns in layers:
                lora = self._adapters.pair(name, layer)
                if lora is not None:
                    parts.append((number, start, columns, lora))
                start += columns
        if not parts:
            return None
        down = torch.cat([lora.down for *_, lora in parts])
        up = down.new_zeros(len(down), sum(columns for _, columns in layers))
        owners: list[int] = []
        for number, start, columns, lora in parts:
            rank = len(lora.down)
            up[len(owners) : len(owners) + rank, start : start + columns] = lora.up.t()
            owners += [number] * rank
        return StackedLora(down.t(), up, patterns.setdefault(tuple(owners), len(patterns)))
