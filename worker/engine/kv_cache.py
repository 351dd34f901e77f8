"""Attention memory for rows that come and go.

Every layer keeps one tensor of (slots, key-value heads, length, head size). A row owns one
slot and writes at its own length, so there is no padding on the left and no row waits for
another. It is duck-typed to what transformers' attention layers call: `update`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worker.engine.prefix_cache import Layers

GROWTH = 128  # tokens added at a time, so that buffers are seldom copied


def slots_for(rows: int) -> int:
    """Slots that are made for so many rows: a power of two, so that buffers are seldom copied."""
    return 1 << (rows - 1).bit_length()


class SlotKVCache:
    """Keys and values of all rows; buffers appear on first use, in the layer's own shape."""

    def __init__(self) -> None:
        self.buffers: dict[int, tuple[Tensor, Tensor]] = {}
        self._rows = slice(0, 0)
        self._index: Tensor | None = None
        self._positions: Tensor | None = None
        self._start = self._width = 0

    def aim_at_prompts(self, first: int, count: int, start: int, end: int) -> None:
        """The next forward fills slots first..first+count from position `start` up to `end`."""
        self._rows, self._start, self._width = slice(first, first + count), start, end
        self._positions = None

    def lay(self, first: int, count: int, layers: Layers) -> None:
        """Begin slots first..first+count with tokens that were read before."""
        self._rows = slice(first, first + count)
        for layer, (keys, values) in layers.items():
            self._width = keys.shape[1]
            stored_keys, stored_values = self._room(layer, keys[None], values[None])
            stored_keys[self._rows, :, : self._width] = keys
            stored_values[self._rows, :, : self._width] = values

    def copy(self, slot: int, length: int) -> Layers:
        """The first `length` tokens of a slot."""
        return {
            layer: (keys[slot, :, :length].clone(), values[slot, :, :length].clone())
            for layer, (keys, values) in self.buffers.items()
        }

    def aim_at_steps(self, positions: Tensor, width: int) -> None:
        """The next forward adds one token to slots 0..n, at `positions` (n,); all see `width`."""
        self._rows, self._width = slice(0, len(positions)), width
        self._index = torch.arange(len(positions), device=positions.device)
        self._positions = positions

    def update(
        self, keys: Tensor, values: Tensor, layer_idx: int, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Store (rows, heads, tokens, head size) of this forward; return all that rows may see."""
        stored_keys, stored_values = self._room(layer_idx, keys, values)
        if self._positions is None:
            stored_keys[self._rows, :, self._start : self._width] = keys
            stored_values[self._rows, :, self._start : self._width] = values
            if not self._start:
                return keys, values
        else:
            stored_keys[self._index, :, self._positions] = keys[:, :, 0]
            stored_values[self._index, :, self._positions] = values[:, :, 0]
        seen = (self._rows, slice(None), slice(0, self._width))
        return stored_keys[seen], stored_values[seen]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens before this forward; only asked by code that was not given positions."""
        return self._start if self._positions is None else self._width - 1

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row's `length` tokens into another slot."""
        for keys, values in self.buffers.values():
            keys[target, :, :length] = keys[source, :, :length]
            values[target, :, :length] = values[source, :, :length]

    def clear(self) -> None:
        """Give the memory back; the next row starts afresh."""
        self.buffers.clear()

    def bytes_per_token(self) -> int:
        """Memory of one token of one row over all layers, in bytes; 0 before the first use."""
        return sum(
            (k.shape[1] * k.shape[3] + v.shape[1] * v.shape[3]) * k.element_size()
            for k, v in self.buffers.values()
        )

    def _room(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        old = self.buffers.get(layer)
        slots, length = (old[0].shape[0], old[0].shape[2]) if old is not None else (0, 0)
        if old is not None and slots >= self._rows.stop and length >= self._width:
            return old
        slots = max(slots, slots_for(self._rows.stop))
        length = max(length, -(-self._width // GROWTH) * GROWTH)
        new = tuple(t.new_zeros(slots, t.shape[1], length, t.shape[3]) for t in (keys, values))
        if old is not None:
            for before, after in zip(old, new, strict=True):
                after[: before.shape[0], :, : before.shape[2]] = before
        self.buffers[layer] = (new[0], new[1])
        return self.buffers[layer]
