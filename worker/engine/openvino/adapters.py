"""The adapters of a step, as inputs of the graph.

All adapters that a step uses are stacked: `down` (adapters, ranks, in) and `up` (adapters, ranks,
out) of each projection. A projection of several layers (query, key and value) has the ranks of each
of them in turn; an adapter with fewer ranks than another is filled up with zeros.

The tokens are sorted by adapter, with as many places for each as the busiest one needs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.engine.adapters import BASE, Adapters
from worker.engine.batched_lora import AdapterIdentity
from worker.engine.packed_linear import FusedLinear

MAX_STACKED = 16  # adapters in all stacks that are kept, counted once per stack
NOWHERE = 2**30  # outside every tensor: OpenVINO's Gather gives zeros for it


@dataclass(frozen=True)
class AdapterStack:
    """Some adapters, by name, and the matrices of each projection. Without any there is one of no
    ranks, in whose only place nothing lies."""

    names: list[str]
    identities: frozenset[AdapterIdentity]
    down: list[Tensor]
    up: list[Tensor]

    def sort(self, what: str, names: Sequence[str]) -> dict[str, NDArray[np.int32]]:
        """For tokens that use these adapters: `what`_in_place (adapters, places), the token in each
        place, and `what`_places (tokens,), the place of each token."""
        numbers = {name: number for number, name in enumerate(self.names)}
        tokens: list[list[int]] = [[] for _ in self.names or [BASE]]
        for token, name in enumerate(names):
            if name != BASE:
                tokens[numbers[name]].append(token)
        most = max(1, *map(len, tokens))
        in_place = np.full((len(tokens), most), NOWHERE, np.int32)
        places = np.full(len(names), NOWHERE, np.int32)
        for number, some in enumerate(tokens):
            in_place[number, : len(some)] = some
            places[some] = number * most + np.arange(len(some))
        return {f"{what}_in_place": in_place, f"{what}_places": places}


class AdapterInputs:
    """Stacks adapters as steps need them; keeps the stacks that were used last."""

    def __init__(
        self, adapters: Adapters, linears: Sequence[FusedLinear], dtype: torch.dtype
    ) -> None:
        self._adapters, self._linears, self._dtype = adapters, linears, dtype
        self._stacks: OrderedDict[frozenset[AdapterIdentity], AdapterStack] = OrderedDict()

    def of_step(self, names: Sequence[str]) -> AdapterStack:
        """For tokens that use these adapters; others may be in it, see `_most`."""
        used = frozenset(self._adapters.identity(name) for name in {*names} - {BASE})
        fitting = [one for one in self._stacks if used <= one and len(one) <= _most(used)]
        key = min(fitting, key=len) if fitting else self._stack(used)
        self._stacks.move_to_end(key)
        while sum(map(len, self._stacks)) > max(MAX_STACKED, len(key)):
            self._stacks.popitem(last=False)
        return self._stacks[key]

    def _stack(self, used: frozenset[AdapterIdentity]) -> frozenset[AdapterIdentity]:
        """Adds a stack; with the adapters of the last one, too, which may well come again."""
        last = next(reversed(self._stacks), frozenset())
        loaded = {one for one in last if self._adapters.identity(one[0]) == one}
        key = used | loaded if len(used | loaded) <= _most(used) else used
        names = sorted(name for name, _stamp in key)
        pairs = [self._matrices(linear, names) for linear in self._linears]
        self._stacks[key] = AdapterStack(
            names, key, [down for down, _ in pairs], [up for _, up in pairs]
        )
        return key

    def _matrices(self, linear: FusedLinear, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        columns, inner = linear.weight.shape
        layers = [[self._adapters.lora(name, layer) for name in names] for layer, _ in linear.parts]
        ranks = max((len(pair.down) for some in layers for pair in some if pair), default=0)
        shape = max(1, len(names)), ranks * len(linear.parts)
        down = torch.zeros(*shape, inner, dtype=self._dtype)
        up = torch.zeros(*shape, columns, dtype=self._dtype)
        start = 0
        for part, (_layer, count) in enumerate(linear.parts):
            for number, pair in enumerate(layers[part]):
                if pair:
                    own = slice(part * ranks, part * ranks + len(pair.down))
                    down[number, own] = pair.down
                    up[number, own, start : start + count] = pair.up.t()
            start += count
        return down, up


def _most(used: Collection[AdapterIdentity]) -> int:
    """So many adapters may be in the stack of a step that uses these. Sequences come and go, and
    making a stack takes as long as some steps, but an adapter that is used alone is alone in it."""
    return max(len(used), 2 * len(used) - 1)
