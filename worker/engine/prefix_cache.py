"""What many prompts begin with is read once: instructions, and the examples shown before each
question.

A beginning is kept when a second prompt for the same adapter starts with it. Keys and values of
a token depend only on the tokens before it, so a row that starts with a kept beginning takes
them over and reads only its own rest.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from worker.engine.sequences import SequenceState

MIN_PREFIX_TOKENS = 64  # tokens; a shorter beginning is quicker to read than to look after
RECENT = 8  # prompts of an adapter that a newcomer is compared with
MAX_BYTES = 256 << 20

Layers = dict[int, tuple[Tensor, Tensor]]  # keys and values (heads, tokens, head size) a layer
Tokens = tuple[int, ...]


@dataclass(frozen=True)
class CachedPrefix:
    """A beginning that has been read."""

    tokens: Tokens
    layers: Layers

    @property
    def size(self) -> int:
        """In bytes."""
        pairs = self.layers.values()
        return sum(t.numel() * t.element_size() for pair in pairs for t in pair)


class PrefixCache:
    """The beginnings kept for one base model, by adapter; the longest unused are dropped."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._kept: OrderedDict[tuple[Hashable, Tokens], CachedPrefix] = OrderedDict()
        self._recent: dict[Hashable, deque[Tokens]] = {}
        self._most_bytes = max_bytes

    def of(self, adapter: Hashable, row: SequenceState) -> CachedPrefix | None:
        """The longest kept beginning of this row's prompt."""
        fitting = [
            key
            for key in self._kept
            if key[0] == adapter and starts_with(row.prompt, key[1]) < len(row.prompt)
        ]
        if not fitting:
            return None
        longest = max(fitting, key=lambda key: len(key[1]))
        self._kept.move_to_end(longest)
        return self._kept[longest]

    def shared(
        self, adapter: Hashable, row: SequenceState, others: Iterable[SequenceState]
    ) -> Tokens:
        """The beginning that this row shares with others of its adapter, newcomers or recent
        ones; empty when it is not worth keeping.

        Of all overlaps that are long enough the shortest counts: two questions may begin alike,
        the instructions before them are what all share.
        """
        neighbours: list[Sequence[int]] = [other.prompt for other in others if other is not row]
        neighbours += self._recent.get(adapter, ())
        overlaps = [overlap(row.prompt[:-1], other) for other in neighbours]
        length = min((n for n in overlaps if n >= MIN_PREFIX_TOKENS), default=0)
        return tuple(row.prompt[:length])

    def keep(self, adapter: Hashable, prefix: CachedPrefix) -> None:
        self._kept[adapter, prefix.tokens] = prefix
        while sum(one.size for one in self._kept.values()) > self._most_bytes:
            self._kept.popitem(last=False)

    def remember(self, adapter: Hashable, row: SequenceState) -> None:
        """So that the next prompt can be compared with this one."""
        self._recent.setdefault(adapter, deque(maxlen=RECENT)).append(tuple(row.prompt))

    def forget_others(self, adapters: set[Hashable]) -> None:
        """Drop what belongs to adapters that are not at hand any more."""
        for key in [key for key in self._kept if key[0] not in adapters]:
            del self._kept[key]
        for adapter in [one for one in self._recent if one not in adapters]:
            del self._recent[adapter]


def starts_with(prompt: Sequence[int], beginning: Tokens) -> int:
    """The beginning's length if the prompt starts with it, else more than the prompt's own."""
    same = tuple(prompt[: len(beginning)]) == beginning
    return len(beginning) if same else len(prompt) + 1


def overlap(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both start with."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
