"""Keys and values of all sequences, in blocks of equal size that any sequence may take.

A sequence takes a block whenever the last one is full, so a long one takes nothing from the others
but what it needs. Full blocks are never written again: sequences that begin alike, and what is kept
of those that left, share them (vLLM's paged attention, https://arxiv.org/abs/2309.06180).

Each layer has one tensor of keys and one of values (blocks, ...), in the shape that OpenVINO's
paged attention asks for. They have addresses for as many blocks as the machine has memory for, and
take memory only for those that were written: so they never grow, and nothing is ever moved.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from finetune_app.core.machine import this_machine
from worker.engine.kv_cache import KeptTokens

BLOCK_TOKENS = 32
IDLE_BYTES = 64 << 20  # of memory that is not given back while nobody writes


@dataclass(frozen=True)
class KeptBlocks:
    """Blocks that stay as they are until they are released. See `kv_cache.KeptTokens`."""

    cache: PagedKVCache
    blocks: list[int]

    @property
    def bytes(self) -> int:
        return len(self.blocks) * self.cache.block_bytes

    def release(self) -> None:
        self.cache.give_back(self.blocks)


class PagedKVCache:
    """Keys and values of the sequences in slots 0, 1, ... See `kv_cache.KVCache`.

    shapes: of one block, (key-value heads, tokens, head size), of the keys and the values of each
        layer.
    pools: memory of the blocks of each layer, (blocks, *shape).
    """

    def __init__(self, shapes: Sequence[tuple[list[int], list[int]]], dtype: torch.dtype) -> None:
        sizes = [torch.Size(shape).numel() * dtype.itemsize for pair in shapes for shape in pair]
        self.block_bytes = sum(sizes)
        self._count = this_machine().memory_bytes // self.block_bytes
        self._memories = [_Memory(size, self._count) for size in sizes]
        tensors = [
            one.tensor(dtype).view(self._count, *shape)
            for one, shape in zip(self._memories, (s for pair in shapes for s in pair), strict=True)
        ]
        self.pools = list(zip(tensors[::2], tensors[1::2], strict=True))
        self._blocks: dict[int, list[int]] = {}  # by slot
        self._users: Counter[int] = Counter()  # sequences and kept beginnings that hold a block
        self._free: list[int] = []  # of those that were used
        self._never_used = 0  # the first of them

    def take_blocks(self, slot: int, length: int) -> list[int]:
        """Those of a slot's first `length` tokens; takes new ones where they do not suffice.

        Raises MemoryError.
        """
        taken = self._blocks.setdefault(slot, [])
        while len(taken) < blocks_for(length):
            taken.append(self._new_block())
        return taken[: blocks_for(length)]

    def keep(self, slot: int, length: int) -> KeptBlocks:
        return KeptBlocks(self, self._hold(self.take_blocks(slot, length)))

    def begin(self, slot: int, kept: KeptTokens, length: int) -> None:
        assert isinstance(kept, KeptBlocks)
        self._share(slot, kept.blocks, length)

    def copy(self, source: int, target: int, length: int) -> None:
        self._share(target, self.take_blocks(source, length), length)

    def remove(self, slot: int, last: int, length: int) -> None:
        self.give_back(self._blocks.pop(slot, []))
        if slot != last:
            self._blocks[slot] = self._blocks.pop(last, [])

    def give_back(self, blocks: Iterable[int]) -> None:
        """Somebody does not need them any more."""
        for block in blocks:
            self._users[block] -= 1
            if not self._users[block]:
                del self._users[block]
                self._free.append(block)

    def clear(self) -> None:
        """Leaves what is kept. Memory beyond `IDLE_BYTES` is given back."""
        for slot in list(self._blocks):
            self.give_back(self._blocks.pop(slot))
        self._free.sort(reverse=True)  # the first ones are taken first
        surplus = self._free[: -max(1, IDLE_BYTES // self.block_bytes)]
        for first, count in _ranges(surplus):
            for memory in self._memories:
                memory.give_back(first, count)

    def bytes_per_token(self) -> int:
        return self.block_bytes // BLOCK_TOKENS

    def tokens_for(self, lengths: Sequence[int]) -> int:
        return sum(map(blocks_for, lengths)) * BLOCK_TOKENS

    def _new_block(self) -> int:
        if self._free:
            block = self._free.pop()
        elif self._never_used < self._count:
            block = self._never_used
            self._never_used += 1
        else:
            raise MemoryError("there is no memory left for keys and values")
        self._users[block] = 1
        return block

    def _hold(self, blocks: list[int]) -> list[int]:
        self._users.update(blocks)
        return blocks

    def _share(self, slot: int, blocks: Sequence[int], length: int) -> None:
        """A slot begins with the first `length` tokens of these blocks. Whoever else has them may
        go on writing in the last one, if it is not full; so that one is copied."""
        full = length // BLOCK_TOKENS
        self.give_back(self._blocks.pop(slot, []))
        self._blocks[slot] = self._hold(list(blocks[:full]))
        if full < blocks_for(length):
            new = self.take_blocks(slot, length)[-1]
            for pair in self.pools:
                for pool in pair:
                    pool[new] = pool[blocks[full]]


class _Memory:
    """Addresses for so many blocks of so many bytes; what was never written takes no memory."""

    def __init__(self, block_bytes: int, count: int) -> None:
        self._block_bytes = block_bytes
        self._memory = mmap.mmap(-1, block_bytes * count, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        # Else Linux may take 2 MB for the first block of each layer.
        self._memory.madvise(mmap.MADV_NOHUGEPAGE)

    def tensor(self, dtype: torch.dtype) -> Tensor:
        return torch.frombuffer(self._memory, dtype=dtype)

    def give_back(self, first: int, count: int) -> None:
        """Whole pages; what is read there afterwards is 0."""
        start = -(-first * self._block_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        end = (first + count) * self._block_bytes // mmap.PAGESIZE * mmap.PAGESIZE
        if start < end:
            self._memory.madvise(mmap.MADV_DONTNEED, start, end - start)


def _ranges(blocks: Sequence[int]) -> list[tuple[int, int]]:
    """(first, how many) of the blocks that lie next to each other; blocks: the last one first."""
    found: list[tuple[int, int]] = []
    for block in blocks:
        if found and found[-1][0] == block + 1:
            found[-1] = block, found[-1][1] + 1
        else:
            found.append((block, 1))
    return found


def blocks_for(length: int) -> int:
    return -(-length // BLOCK_TOKENS)
