"""Batched LoRA: all adapters of a batch in a few matrix products per projection.

Applied one after the other, eight adapters need eight times as many small products as one, and on
a CPU each costs more in overhead than in computing. Here the tokens of a prompt, which share an
adapter, take one pair of products, and the sequences that write are sorted by adapter and
multiplied with all of them in one pair of batched ones.
"""

from __future__ import annotations

import itertools
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
# So many sequences in a row with one adapter are worth a pair of products of their own.
LONG_RUN = 8


@dataclass(frozen=True)
class StackedLayer:
    """`up` (adapters, ranks, columns) of several adapters for one layer of a projection.

    ranks, columns: where the layer's are among those of its projection.
    """

    up: Tensor
    ranks: slice
    columns: slice


@dataclass(frozen=True)
class StackedLora:
    """Several adapters of one projection: `down` (adapters, in, ranks), whose ranks are those of
    its layers, one after another. An adapter with fewer ranks than another is filled up with zeros.
    """

    down: Tensor
    layers: list[StackedLayer]


@dataclass(frozen=True)
class AdapterSet:
    """Adapters of about the same rank, stacked.

    projections: a stack for each projection; None where no adapter changes it.
    """

    adapters: list[AdapterIdentity]
    projections: list[StackedLora | None]
    device: torch.device


class LoraPlan:
    """Which adapter each sequence of one batch uses.

    sets: adapters of about the same rank each. sequence_adapters: the adapter of each sequence;
    None is the base model.
    """

    def __init__(
        self, sets: Sequence[AdapterSet], sequence_adapters: Sequence[AdapterIdentity | None]
    ) -> None:
        self._sets, self.sequence_adapters = sets, sequence_adapters
        self._parts = [PlanOfSet(one, sequence_adapters) for one in sets]

    def apply(
        self, index: int, linear: PackedLinear, x: Tensor, rows: list[int] | None = None
    ) -> Tensor:
        """linear(x) plus each sequence's adapter.

        x: (batch, sequence, in), or only the sequences `rows`. Returns (batch, sequence, out).
        """
        if rows is not None and any(one.projections[index] for one in self._sets):
            of_rows = LoraPlan(self._sets, [self.sequence_adapters[row] for row in rows])
            return of_rows.apply(index, linear, x)
        out = linear(x)
        for part in self._parts:
            part.add(index, x, out)
        return out


class PlanOfSet:
    """An adapter set, and which of its adapters each sequence of one batch uses."""

    def __init__(
        self, adapter_set: AdapterSet, sequence_adapters: Sequence[AdapterIdentity | None]
    ) -> None:
        self._projections = adapter_set.projections
        numbers = {adapter: number for number, adapter in enumerate(adapter_set.adapters)}
        self._runs: list[tuple[slice, int]] = []  # sequences that share the adapter of this number
        mixed: list[list[int]] = [[] for _ in numbers]  # the other sequences of each adapter
        start = 0
        for adapter, run in itertools.groupby(sequence_adapters):
            sequences = range(start, start + len(list(run)))
            start = sequences.stop
            if adapter is None or adapter not in numbers:
                continue
            if len(sequences) == len(sequence_adapters):
                self._runs.append((slice(None), numbers[adapter]))
            elif len(sequences) >= LONG_RUN:
                self._runs.append((slice(sequences.start, start), numbers[adapter]))
            else:
                mixed[numbers[adapter]] += sequences
        self._mixed = MixedSequences(mixed, adapter_set.device) if any(mixed) else None

    def add(self, index: int, x: Tensor, out: Tensor) -> None:
        """x (batch, sequence, in); adds to `out` (batch, sequence, out)."""
        lora = self._projections[index]
        if lora is None:
            return
        for sequences, number in self._runs:
            low_rank = (x[sequences] @ lora.down[number]).flatten(0, 1)
            for layer in lora.layers:
                part = out[sequences, :, layer.columns]
                part.view(-1, part.shape[-1]).addmm_(low_rank[:, layer.ranks], layer.up[number])
        if self._mixed:
            self._mixed.add(lora, x, out)


class MixedSequences:
    """Sequences of several adapters, sorted by adapter: as many places for each as the one with the
    most sequences needs."""

    def __init__(self, sequences: Sequence[Sequence[int]], device: torch.device) -> None:
        places = max(map(len, sequences))
        filled = [[*some, *[-1] * (places - len(some))] for some in sequences]
        found = torch.tensor(filled, device=device).flatten()
        self._sequences = found.clamp(min=0)
        self._unused = (found < 0).nonzero()[:, 0] if (found < 0).any() else None

    def add(self, lora: StackedLora, x: Tensor, out: Tensor) -> None:
        """x (batch, sequence, in); adds to `out` (batch, sequence, out)."""
        sorted_x = x[self._sequences]
        if self._unused is not None:
            sorted_x[self._unused] = 0
        low_rank = sorted_x.view(len(lora.down), -1, x.shape[-1]) @ lora.down
        for layer in lora.layers:
            change = (low_rank[..., layer.ranks] @ layer.up).view(len(sorted_x), x.shape[1], -1)
            out[..., layer.columns].index_add_(0, self._sequences, change)


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
            # Filling up a low rank to a much higher one would cost more than a set of its own.
            groups: dict[int, dict[str, AdapterIdentity]] = {}
            for name, one in zip(names, identities, strict=True):
                if one:
                    groups.setdefault(self._rank_class(name), {})[name] = one
            sets = [self._adapter_set(some) for some in groups.values()]
            self._forget_all_but(len(sets))
            self._last = LoraPlan(sets, identities)
        return self._last

    def _rank_class(self, name: str) -> int:
        """The same for ranks up to twice as high: 9 to 16, 17 to 32 and so on."""
        layers = (layer for parts in self._projections for layer, _columns in parts)
        pairs = (self._adapters.lora(name, layer) for layer in layers)
        highest = max((len(pair.down) for pair in pairs if pair), default=1)
        return (highest - 1).bit_length()

    def _adapter_set(self, adapters: dict[str, AdapterIdentity]) -> AdapterSet:
        key = frozenset(adapters.values())
        # A larger set serves fewer adapters too, as long as most of its work is for them.
        found = next((k for k in self._sets if key <= k and len(k) <= 2 * len(key)), None)
        if found is None:
            found, self._sets[key] = key, self._build(adapters)
        self._sets.move_to_end(found)
        return self._sets[found]

    def _forget_all_but(self, newest: int) -> None:
        """As far as too many are kept; never the ones of this batch."""
        while len(self._sets) > newest and sum(map(len, self._sets)) > MAX_STACKED_ADAPTERS:
            self._sets.popitem(last=False)

    def _build(self, adapters: dict[str, AdapterIdentity]) -> AdapterSet:
        stacks = [self._stack(list(adapters), parts) for parts in self._projections]
        return AdapterSet(list(adapters.values()), stacks, self._adapters.device)

    def _stack(self, names: Sequence[str], parts: Parts) -> StackedLora | None:
        downs: list[Tensor] = []
        layers: list[StackedLayer] = []
        ranks = start = 0
        for layer, columns in parts:
            pairs = [self._adapters.lora(name, layer) for name in names]
            if any(pairs):
                down, up = stack_pairs(pairs)
                end = ranks + up.shape[1]
                layers.append(StackedLayer(up, slice(ranks, end), slice(start, start + columns)))
                downs.append(down)
                ranks = end
            start += columns
        return StackedLora(torch.cat(downs, 1).transpose(1, 2), layers) if layers else None


def stack_pairs(pairs: Sequence[Lora | None]) -> tuple[Tensor, Tensor]:
    """down (adapters, ranks, in) and up (adapters, ranks, out) of one layer."""
    some = [pair for pair in pairs if pair]
    ranks = max(len(pair.down) for pair in some)
    down = some[0].down.new_zeros(len(pairs), ranks, some[0].down.shape[1])
    up = some[0].up.new_zeros(len(pairs), ranks, len(some[0].up))
    for number, pair in enumerate(pairs):
        if pair:
            down[number, : len(pair.down)] = pair.down
            up[number, : len(pair.down)] = pair.up.t()
    return down, up
