"""The adapters of a step, as inputs of the graph.

All adapters that a step uses lie side by side: `down` (in, ranks) and `up` (ranks, out) of each
projection. Which ranks belong to a token's adapter says `adapter_ranks` (tokens, ranks): 1 or 0.
A projection of several layers (query, key and value) has the ranks of each of them in turn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.adapters import BASE, Adapters, Lora
from worker.engine.batched_lora import AdapterIdentity
from worker.engine.packed_linear import FusedLinear

MAX_SIDE_BY_SIDE = 16  # adapters in all sets that are kept, counted once per set


@dataclass(frozen=True)
class SideBySide:
    """Some adapters: which of the ranks are whose, and the matrices of each projection."""

    ranks: dict[str, slice]
    down: list[Tensor]
    up: list[Tensor]

    @property
    def width(self) -> int:
        return max((one.stop for one in self.ranks.values()), default=0)

    def of_tokens(self, names: Sequence[str]) -> Tensor:
        """(tokens, ranks): 1 for the ranks of a token's adapter."""
        lines = {name: torch.zeros(self.width) for name in set(names)}
        for name, line in lines.items():
            if name != BASE:
                line[self.ranks[name]] = 1
        return torch.stack([lines[name] for name in names])


class AdapterInputs:
    """Lays adapters side by side as steps need them; keeps the sets that were used last."""

    def __init__(
        self, adapters: Adapters, linears: Sequence[FusedLinear], dtype: torch.dtype
    ) -> None:
        self._adapters, self._linears, self._dtype = adapters, linears, dtype
        self._sets: OrderedDict[frozenset[AdapterIdentity], SideBySide] = OrderedDict()

    def of_step(self, names: Sequence[str]) -> SideBySide:
        """For tokens that use these adapters."""
        used = [name for name in dict.fromkeys(names) if name != BASE]
        key = frozenset(map(self._adapters.identity, used))
        if key not in self._sets:
            self._sets[key] = self._lay(used)
        self._sets.move_to_end(key)
        while sum(map(len, self._sets)) > max(MAX_SIDE_BY_SIDE, len(key)):
            self._sets.popitem(last=False)
        return self._sets[key]

    def _lay(self, names: Sequence[str]) -> SideBySide:
        ranks, start = {}, 0
        for name in names:
            ranks[name] = slice(start, start + self._rank(name))
            start = ranks[name].stop
        pairs = [self._matrices(linear, ranks, start) for linear in self._linears]
        return SideBySide(ranks, [down for down, _up in pairs], [up for _down, up in pairs])

    def _rank(self, name: str) -> int:
        """The highest of its layers."""
        layers = (layer for linear in self._linears for layer, _columns in linear.parts)
        pairs = (self._adapters.lora(name, layer) for layer in layers)
        return max((len(pair.down) for pair in pairs if pair), default=0)

    def _matrices(
        self, linear: FusedLinear, ranks: dict[str, slice], width: int
    ) -> tuple[Tensor, Tensor]:
        columns, inner = linear.weight.shape
        down = torch.zeros(inner, width * len(linear.parts), dtype=self._dtype)
        up = torch.zeros(width * len(linear.parts), columns, dtype=self._dtype)
        start = 0
        for number, (layer, count) in enumerate(linear.parts):
            for name, own in ranks.items():
                pair: Lora | None = self._adapters.lora(name, layer)
                if pair:
                    first = number * width + own.start
                    rows = slice(first, first + len(pair.down))
                    down[:, rows] = pair.down.t()
                    up[rows, start : start + count] = pair.up.t()
            start += count
        return down, up
