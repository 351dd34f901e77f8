"""Keys and values of all sequences, in blocks of equal size that any sequence may take.

A sequence takes a block whenever the last one is full, so a long one takes nothing from the others
but what it needs. Each layer has one tensor of keys and one of values (blocks, ...), in the shape
that OpenVINO's paged attention asks for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from worker.engine.prefix_cache import LayerKV

BLOCK_TOKENS = 32
FIRST_BLOCKS = 64  # of a new pool, which doubles as often as it is full


class PagedKVCache:
    """Keys and values of the sequences in slots 0, 1, ... See `kv_cache.KVCache`.

    shapes: of one block, (key-value heads, tokens, head size), of the keys and the values of each
        layer.
    """

    def __init__(self, shapes: Sequence[tuple[list[int], list[int]]], dtype: torch.dtype) -> None:
        self._shapes, self._dtype = shapes, dtype
        self.clear()

    def clear(self) -> None:
        self.pools: list[tuple[Tensor, Tensor]] = []
        self._blocks: dict[int, list[int]] = {}  # by slot
        self._free: list[int] = []

    def blocks(self, slot: int, length: int) -> list[int]:
        """Those of a slot's first `length` tokens; takes new ones where they do not suffice."""
        needed = blocks_for(length)
        taken = self._blocks.setdefault(slot, [])
        while len(self._free) < needed - len(taken):
            self._grow()
        while len(taken) < needed:
            taken.append(self._free.pop())
        return taken[:needed]

    def remove(self, slot: int, last: int, length: int) -> None:
        self._free += reversed(self._blocks.pop(slot, []))
        if slot != last:
            self._blocks[slot] = self._blocks.pop(last, [])

    def copy(self, source: int, target: int, length: int) -> None:
        if length:
            self.write_prefix(target, self.read_prefix(source, length), length)

    def read_prefix(self, slot: int, length: int) -> LayerKV:
        """As whole blocks."""
        blocks = torch.tensor(self.blocks(slot, length))
        return {n: (keys[blocks], values[blocks]) for n, (keys, values) in enumerate(self.pools)}

    def write_prefix(self, slot: int, layers: LayerKV, length: int) -> None:
        blocks = torch.tensor(self.blocks(slot, length))
        for layer, pair in layers.items():
            for pool, kept in zip(self.pools[layer], pair, strict=True):
                pool[blocks] = kept[: len(blocks)]

    def bytes_per_token(self) -> int:
        numbers = sum(torch.Size(shape).numel() for pair in self._shapes for shape in pair)
        return numbers * self._dtype.itemsize // BLOCK_TOKENS

    def tokens_for(self, lengths: Sequence[int]) -> int:
        return sum(map(blocks_for, lengths)) * BLOCK_TOKENS

    def _grow(self) -> None:
        old = len(self.pools[0][0]) if self.pools else 0
        count = 2 * old or FIRST_BLOCKS
        layers = []
        for number, pair in enumerate(self._shapes):
            new = tuple(torch.zeros(count, *shape, dtype=self._dtype) for shape in pair)
            if old:
                for before, after in zip(self.pools[number], new, strict=True):
                    after[:old] = before
            layers.append((new[0], new[1]))
        self.pools = layers
        self._free += reversed(range(old, count))  # the first ones are taken first


def blocks_for(length: int) -> int:
    return -(-length // BLOCK_TOKENS)
