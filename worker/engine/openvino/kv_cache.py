"""Keys and values of all sequences, in blocks of equal size that any sequence may take.

A sequence takes a block whenever the last one is full, so a long one takes nothing from the others
but what it needs. Each layer has one tensor of keys and one of values (blocks, ...), in the shape
that OpenVINO's paged attention asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from worker.engine.prefix_cache import LayerKV

BLOCK_TOKENS = 32
FIRST_BLOCKS = 16  # of a new pool
GROWTH = 4  # a full pool grows by a fourth, or by what is needed


class PagedKVCache:
    """Keys and values of the sequences in slots 0, 1, ... See `kv_cache.KVCache`.

    shapes: of one block, (key-value heads, tokens, head size), of the keys and the values of each
        layer.
    pools: memory of the blocks of each layer, (blocks, *shape); another list when it has grown.
    release: called when the pools are given up, for whoever else holds them.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[list[int], list[int]]],
        dtype: torch.dtype,
        release: Callable[[], object] = lambda: None,
    ) -> None:
        self._shapes, self._dtype, self._release = shapes, dtype, release
        self.pools: list[tuple[Tensor, Tensor]] = []
        self._blocks: dict[int, list[int]] = {}  # by slot
        self._free: list[int] = []

    def clear(self) -> None:
        """Keeps a pool of the first size: the next request need not wait for a new one."""
        if self._count > FIRST_BLOCKS:
            self.pools = []
            self._release()
        self._blocks = {}
        self._free = list(reversed(range(self._count)))  # the first ones are taken first

    @property
    def _count(self) -> int:
        return len(self.pools[0][0]) if self.pools else 0

    def take_blocks(self, slot: int, length: int) -> list[int]:
        """Those of a slot's first `length` tokens; takes new ones where they do not suffice."""
        needed = blocks_for(length)
        taken = self._blocks.setdefault(slot, [])
        missing = needed - len(taken) - len(self._free)
        if missing > 0:
            self._grow(missing)
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
        blocks = torch.tensor(self.take_blocks(slot, length))
        return {n: (keys[blocks], values[blocks]) for n, (keys, values) in enumerate(self.pools)}

    def write_prefix(self, slot: int, layers: LayerKV, length: int) -> None:
        blocks = torch.tensor(self.take_blocks(slot, length))
        for layer, pair in layers.items():
            for pool, kept in zip(self.pools[layer], pair, strict=True):
                pool[blocks] = kept[: len(blocks)]

    def bytes_per_token(self) -> int:
        numbers = sum(torch.Size(shape).numel() for pair in self._shapes for shape in pair)
        return numbers * self._dtype.itemsize // BLOCK_TOKENS

    def tokens_for(self, lengths: Sequence[int]) -> int:
        blocks = sum(map(blocks_for, lengths))
        return (blocks + blocks // GROWTH) * BLOCK_TOKENS

    def _grow(self, missing: int) -> None:
        """Layer by layer, so that only one is there twice. Where memory ends, nothing is left."""
        old = self._count
        if old:
            self._release()
        count = old + max(missing, old // GROWTH, 0 if old else FIRST_BLOCKS)
        pools, self.pools = self.pools, []
        grown = []
        for number, pair in enumerate(self._shapes):
            keys, values = (torch.zeros(count, *shape, dtype=self._dtype) for shape in pair)
            if old:
                keys[:old], values[:old] = pools[number]
                pools[number] = (keys, values)
            grown.append((keys, values))
        self.pools = grown
        self._free += reversed(range(old, count))


def blocks_for(length: int) -> int:
    return -(-length // BLOCK_TOKENS)
