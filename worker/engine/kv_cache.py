"""KV cache for continuous batching: every sequence has a slot of its own.

Each layer has one tensor of keys and one of values, (slots, key-value heads, length, head size).
A sequence writes to its slot at its own length, so nothing is padded on the left and no sequence
waits for another. The class is duck-typed to what transformers' attention layers call: `update`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

LayerKV = dict[int, tuple[Tensor, Tensor]]  # keys and values (heads, tokens, head size) by layer
GROWTH_TOKENS = 128  # buffers grow by this many tokens, so that they are seldom copied


def slots_for(sequences: int) -> int:
    """Slots allocated for so many sequences: a power of two, so that buffers are seldom copied."""
    return 1 << (sequences - 1).bit_length()


class KeptTokens(Protocol):
    """Keys and values of the first tokens of a sequence, which outlive it."""

    @property
    def bytes(self) -> int: ...
    def release(self) -> None:
        """They are not needed any more."""


class KVCache(Protocol):
    """What decoders ask of the keys and values of all sequences."""

    def keep(self, slot: int, length: int) -> KeptTokens:
        """The first `length` tokens of a slot."""

    def begin(self, slot: int, kept: KeptTokens, length: int) -> None:
        """A slot begins with the first `length` tokens of what was kept."""

    def copy(self, source: int, target: int, length: int) -> None:
        """A slot begins with the first `length` tokens of another slot."""

    def remove(self, slot: int, last: int, length: int) -> None:
        """Forget a slot; the last one, of `length` tokens, moves into the gap."""

    def clear(self) -> None:
        """Forget all slots, but not what is kept."""

    def bytes_per_token(self) -> int:
        """Memory of one token of one sequence over all layers; 0 while it is not known."""

    def tokens_for(self, lengths: Sequence[int]) -> int:
        """Tokens for which sequences of these lengths take memory."""


@dataclass(frozen=True)
class CopiedTokens:
    """A copy of them. See `KeptTokens`."""

    layers: LayerKV

    @property
    def bytes(self) -> int:
        return sum(one.nbytes for pair in self.layers.values() for one in pair)

    def release(self) -> None:
        """Nobody else has it."""


class SlotKVCache:
    """Keys and values of all sequences. Buffers are created on first use, in the layer's shape.

    Before each forward pass, `set_prefill` or `set_decode` says where it writes.
    """

    def __init__(self) -> None:
        self.buffers: dict[int, tuple[Tensor, Tensor]] = {}  # by layer
        self._slots = slice(0, 0)
        self._index: Tensor | None = None
        self._position_ids: Tensor | None = None  # None during prefill
        self._start = self._width = 0

    def set_prefill(self, first: int, count: int, start: int, end: int) -> None:
        """The next forward pass fills slots first..first+count at positions start..end."""
        self._slots, self._start, self._width = slice(first, first + count), start, end
        self._position_ids = None

    def set_decode(self, position_ids: Tensor, width: int) -> None:
        """The next forward pass adds one token to slots 0..n.

        position_ids: (n,). width: number of positions that the attention reads.
        """
        self._slots, self._width = slice(0, len(position_ids)), width
        self._index = torch.arange(len(position_ids), device=position_ids.device)
        self._position_ids = position_ids

    def keep(self, slot: int, length: int) -> CopiedTokens:
        views = self._view(slot, length).items()
        return CopiedTokens({n: (keys.clone(), values.clone()) for n, (keys, values) in views})

    def begin(self, slot: int, kept: KeptTokens, length: int) -> None:
        assert isinstance(kept, CopiedTokens)
        self._write(slot, kept.layers, length)

    def remove(self, slot: int, last: int, length: int) -> None:
        if slot != last:
            self.copy(last, slot, length)

    def copy(self, source: int, target: int, length: int) -> None:
        if length:
            self._write(target, self._view(source, length), length)

    def _write(self, slot: int, layers: LayerKV, length: int) -> None:
        self._slots, self._width = slice(slot, slot + 1), length
        for layer, (keys, values) in layers.items():
            stored_keys, stored_values = self._reserve(layer, keys[None], values[None])
            stored_keys[slot, :, :length] = keys[:, :length]
            stored_values[slot, :, :length] = values[:, :length]

    def _view(self, slot: int, length: int) -> LayerKV:
        return {
            layer: (keys[slot, :, :length], values[slot, :, :length])
            for layer, (keys, values) in self.buffers.items()
        }

    def update(
        self, keys: Tensor, values: Tensor, layer_idx: int, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Store keys and values (sequences, heads, tokens, head size) of this forward pass.

        Returns all that the sequences may attend to, (sequences, heads, width, head size).
        """
        stored_keys, stored_values = self._reserve(layer_idx, keys, values)
        if self._position_ids is None:
            stored_keys[self._slots, :, self._start : self._width] = keys
            stored_values[self._slots, :, self._start : self._width] = values
            if not self._start:
                return keys, values
        else:
            stored_keys[self._index, :, self._position_ids] = keys[:, :, 0]
            stored_values[self._index, :, self._position_ids] = values[:, :, 0]
        visible = (self._slots, slice(None), slice(0, self._width))
        return stored_keys[visible], stored_values[visible]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens before this forward pass; only called by layers without position_ids."""
        return self._start if self._position_ids is None else self._width - 1

    def clear(self) -> None:
        self.buffers.clear()

    def bytes_per_token(self) -> int:
        return sum(
            (k.shape[1] * k.shape[3] + v.shape[1] * v.shape[3]) * k.element_size()
            for k, v in self.buffers.values()
        )

    def tokens_for(self, lengths: Sequence[int]) -> int:
        """Each slot is as long as the longest."""
        return slots_for(len(lengths)) * max(lengths)

    def _reserve(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's buffers, grown to hold the current slots and width."""
        old = self.buffers.get(layer)
        slots, length = (old[0].shape[0], old[0].shape[2]) if old is not None else (0, 0)
        if old is not None and slots >= self._slots.stop and length >= self._width:
            return old
        slots = max(slots, slots_for(self._slots.stop))
        length = max(length, -(-self._width // GROWTH_TOKENS) * GROWTH_TOKENS)
        new = tuple(t.new_zeros(slots, t.shape[1], length, t.shape[3]) for t in (keys, values))
        if old is not None:
            for before, after in zip(old, new, strict=True):
                after[: before.shape[0], :, : before.shape[2]] = before
        self.buffers[layer] = (new[0], new[1])
        return self.buffers[layer]
