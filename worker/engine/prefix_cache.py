"""Prefix caching: what many prompts begin with (instructions, few-shot examples) is read once.

Keys and values of a token depend only on the tokens before it. When a second prompt for the same
adapter starts with the same tokens as an earlier one, the keys and values of that prefix are kept,
and later sequences copy them and prefill only the rest of their prompt.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from worker.engine.sequences import SequenceState

MIN_PREFIX_TOKENS = 64  # a shorter prefix is faster to compute than to manage
RECENT_PROMPTS = 8  # of each adapter, that a new prompt is compared with
MAX_BYTES = 256 << 20

LayerKV = dict[int, tuple[Tensor, Tensor]]  # keys and values (heads, tokens, head size) by layer
TokenIds = tuple[int, ...]


@dataclass(frozen=True)
class CachedPrefix:
    """The beginning of a prompt, with its keys and values."""

    token_ids: TokenIds
    layers: LayerKV

    @property
    def bytes(self) -> int:
        pairs = self.layers.values()
        return sum(t.numel() * t.element_size() for pair in pairs for t in pair)


class PrefixCache:
    """Prefixes of one base model, by adapter; the least recently used are evicted."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._prefixes: OrderedDict[tuple[Hashable, TokenIds], CachedPrefix] = OrderedDict()
        self._recent: dict[Hashable, deque[TokenIds]] = {}
        self._max_bytes = max_bytes

    def find(self, adapter: Hashable, sequence: SequenceState) -> CachedPrefix | None:
        """The longest cached prefix of the sequence's prompt, shorter than the prompt itself."""
        prompt = sequence.prompt_token_ids
        matching = [
            key
            for key in self._prefixes
            if key[0] == adapter and len(key[1]) < len(prompt) and starts_with(prompt, key[1])
        ]
        if not matching:
            return None
        longest = max(matching, key=lambda key: len(key[1]))
        self._prefixes.move_to_end(longest)
        return self._prefixes[longest]

    def shared_prefix(
        self, adapter: Hashable, sequence: SequenceState, others: Iterable[SequenceState]
    ) -> TokenIds:
        """The prefix that a prompt shares with new or recent ones of its adapter.

        Empty when none is long enough. Of all overlaps that are, the shortest counts: two
        questions may begin alike, but all prompts share the instructions before them.
        """
        prompt = sequence.prompt_token_ids
        neighbours: list[Sequence[int]] = [
            other.prompt_token_ids for other in others if other is not sequence
        ]
        neighbours += self._recent.get(adapter, ())
        overlaps = [common_length(prompt[:-1], other) for other in neighbours]
        length = min((n for n in overlaps if n >= MIN_PREFIX_TOKENS), default=0)
        return tuple(prompt[:length])

    def add(self, adapter: Hashable, prefix: CachedPrefix) -> None:
        """Keep a prefix; evict the least recently used ones above the memory limit."""
        self._prefixes[adapter, prefix.token_ids] = prefix
        while sum(one.bytes for one in self._prefixes.values()) > self._max_bytes:
            self._prefixes.popitem(last=False)

    def note_prompt(self, adapter: Hashable, sequence: SequenceState) -> None:
        """Remember a prompt, so that the next one can be compared with it."""
        recent = self._recent.setdefault(adapter, deque(maxlen=RECENT_PROMPTS))
        recent.append(tuple(sequence.prompt_token_ids))

    def retain(self, adapters: set[Hashable]) -> None:
        """Drop what belongs to adapters that are not in memory any more."""
        for key in [key for key in self._prefixes if key[0] not in adapters]:
            del self._prefixes[key]
        for adapter in [one for one in self._recent if one not in adapters]:
            del self._recent[adapter]


def starts_with(prompt: Sequence[int], prefix: TokenIds) -> bool:
    return tuple(prompt[: len(prefix)]) == prefix


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both start with."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
