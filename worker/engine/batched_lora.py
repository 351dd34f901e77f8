"""Batched LoRA: all adapters of a batch as one pair of matrix products per projection.

Applied one after the other, eight adapters need eight times as many small products as one, and on
a CPU each costs more in overhead than in computing. Stacked side by side they need two: every
sequence is multiplied with the ranks of all adapters, and a mask keeps only those of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.adapters import BASE, Adapters, Lora
from worker.engine.packed_linear import PackedLinear

AdapterIdentity = tuple[str, tuple[int, int] | None]  # see `Adapters.identity`
Parts = Sequence[tuple[str, int]]  # names and output columns of a projection's layers
MAX_STACKED_ADAPTERS = 16  # in all sets that are kept, an adapter counted once per set


@dataclass(frozen=True)
class StackedLora:
    """Several adapters of one projection: down (in, ranks) and up (ranks, out).

    owner_pattern: index of the pattern that says which adapter owns each rank.
    """

    down: Tensor
    up: Tensor
    owner_pattern: int


@dataclass(frozen=True)
class AdapterSet:
    """A set of adapters, stacked.

    projections: a stack for each projection; None where no adapter changes it.
    owner_patterns: the distinct patterns (ranks,) of indices into `adapters`. Most projections
        share one, so that its mask is built once per forward pass.
    """

    adapters: list[AdapterIdentity]
    projections: list[StackedLora | None]
    owner_patterns: list[Tensor]


class LoraPlan:
    """An adapter set, with the masks for the sequences of one batch.

    sequence_adapters: the adapter of each sequence; None is the base model.
    """

    def __init__(
        self,
        adapter_set: AdapterSet,
        sequence_adapters: Sequence[AdapterIdentity | None],
        dtype: torch.dtype,
    ) -> None:
        self.adapter_set, self.sequence_adapters = adapter_set, sequence_adapters
        self._masks: list[Tensor] | None = None  # (batch, 1, ranks) for each pattern
        if len(adapter_set.adapters) > 1 or None in sequence_adapters:
            indices = torch.tensor(
                [adapter_set.adapters.index(one) if one else -1 for one in sequence_adapters]
            )
            self._masks = [
                (indices.to(owners.device)[:, None] == owners)[:, None].to(dtype)
                for owners in adapter_set.owner_patterns
            ]

    def apply(
        self, index: int, linear: PackedLinear, x: Tensor, rows: list[int] | None = None
    ) -> Tensor:
        """linear(x) plus each sequence's adapter.

        x: (batch, sequence, in), or only the sequences `rows`. Returns (batch, sequence, out).
        """
        out = linear(x)
        lora = self.adapter_set.projections[index]
        if lora is not None:
            low_rank = x @ lora.down
            if self._masks is not None:
                mask = self._masks[lora.owner_pattern]
                low_rank.mul_(mask if rows is None else mask[rows])
            out.view(-1, out.shape[-1]).addmm_(low_rank.view(-1, low_rank.shape[-1]), lora.up)
        return out


class BatchedLora:
    """Stacks the adapters of one model as batches need them.

    Batches change all the time, and prompts are prefilled for one adapter at a time, so the sets
    that were used last are kept.
    """

    def __init__(self, adapters: Adapters, projections: Sequence[Parts]) -> None:
        self._adapters, self._projections = adapters, projections
        self._sets: OrderedDict[frozenset[AdapterIdentity], AdapterSet] = OrderedDict()
        self._last: LoraPlan | None = None

    def plan(self, names: Sequence[str]) -> LoraPlan | None:
        """For a batch whose sequences use these adapters; None if all use the base model."""
        identities = [None if name == BASE else self._adapters.identity(name) for name in names]
        if not any(identities):
            return None
        if self._last is None or self._last.sequence_adapters != identities:
            distinct = {name: one for name, one in zip(names, identities, strict=True) if one}
            self._last = LoraPlan(self._adapter_set(distinct), identities, self._adapters.dtype)
        return self._last

    def _adapter_set(self, adapters: dict[str, AdapterIdentity]) -> AdapterSet:
        key = frozenset(adapters.values())
        # A larger set serves fewer adapters too, as long as most of its work is for them.
        found = next((k for k in self._sets if key <= k and len(k) <= 2 * len(key)), None)
        if found is None:
            found, self._sets[key] = key, self._build(adapters)
        self._sets.move_to_end(found)
        while len(self._sets) > 1 and sum(map(len, self._sets)) > MAX_STACKED_ADAPTERS:
            self._sets.popitem(last=False)
        return self._sets[found]

    def _build(self, adapters: dict[str, AdapterIdentity]) -> AdapterSet:
        patterns: dict[tuple[int, ...], int] = {}
        stacks = [self._stack(list(adapters), parts, patterns) for parts in self._projections]
        tensors = [torch.tensor(owners, device=self._adapters.device) for owners in patterns]
        return AdapterSet(list(adapters.values()), stacks, tensors)

    def _stack(
        self, names: Sequence[str], parts: Parts, patterns: dict[tuple[int, ...], int]
    ) -> StackedLora | None:
        found: list[tuple[int, int, int, Lora]] = []  # adapter, first column, columns, its pair
        for index, name in enumerate(names):
            start = 0
            for layer, columns in parts:
                lora = self._adapters.lora(name, layer)
                if lora is not None:
                    found.append((index, start, columns, lora))
                start += columns
        if not found:
            return None
        down = torch.cat([lora.down for *_, lora in found])
        up = down.new_zeros(len(down), sum(columns for _, columns in parts))
        owners: list[int] = []
        for index, start, columns, lora in found:
            rank = len(lora.down)
            up[len(owners) : len(owners) + rank, start : start + columns] = lora.up.t()
            owners += [index] * rank
        return StackedLora(down.t(), up, patterns.setdefault(tuple(owners), len(patterns)))
