"""Prefix caching: what a prompt has in common with an earlier one is not read again.

Keys and values of a token depend only on the tokens before it. So those of a sequence are kept when
it leaves, and later ones begin with as much as their prompts have in common with it: the
instructions and examples before every question, or a conversation so far.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from worker.engine.kv_cache import KeptTokens

MIN_PREFIX_TOKENS = 16  # fewer are as fast to compute as to manage
MAX_BYTES = 256 << 20

TokenIds = tuple[int, ...]
Scope = tuple[Hashable, ...]  # adapter and caller


@dataclass(frozen=True)
class CachedPrefix:
    """What a sequence left: its tokens, and their keys and values."""

    token_ids: TokenIds
    kept: KeptTokens


class PrefixCache:
    """Prefixes of one base model, by scope; the least recently used are evicted.

    max_bytes: of all together.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._prefixes: OrderedDict[tuple[Scope, TokenIds], CachedPrefix] = OrderedDict()
        self.max_bytes = max_bytes
        self.bytes = 0

    def longest(self, scope: Scope, prompt: Sequence[int]) -> tuple[CachedPrefix, int] | None:
        """The prefix that shares the most with a prompt, and how many tokens."""
        lengths = {key: common_length(prompt, key[1]) for key in self._prefixes if key[0] == scope}
        best = max(lengths, key=lengths.__getitem__, default=None)
        if best is None or lengths[best] < MIN_PREFIX_TOKENS:
            return None
        self._prefixes.move_to_end(best)
        return self._prefixes[best], lengths[best]

    def lacks(self, scope: Scope, token_ids: TokenIds) -> bool:
        """Whether no prefix has all of these tokens."""
        return not any(
            key[0] == scope and common_length(token_ids, key[1]) == len(token_ids)
            for key in self._prefixes
        )

    def add(self, scope: Scope, prefix: CachedPrefix) -> None:
        """Keep a prefix in place of those it continues; evict the least recently used ones above
        the memory limit."""
        for key in list(self._prefixes):
            if key[0] == scope and common_length(prefix.token_ids, key[1]) == len(key[1]):
                self._remove(key)
        self._prefixes[scope, prefix.token_ids] = prefix
        self.bytes += prefix.kept.bytes
        while self.bytes > self.max_bytes:
            self._remove(next(iter(self._prefixes)))

    def retain(self, adapters: set[Hashable]) -> None:
        """Drop what belongs to adapters that are not in memory any more."""
        for key in [key for key in self._prefixes if key[0][0] not in adapters]:
            self._remove(key)

    def clear(self) -> None:
        for key in list(self._prefixes):
            self._remove(key)

    def _remove(self, key: tuple[Scope, TokenIds]) -> None:
        kept = self._prefixes.pop(key).kept
        self.bytes -= kept.bytes
        kept.release()


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both start with. By halves, since slices are compared quickly."""
    same, different = 0, min(len(one), len(other)) + 1
    while different - same > 1:
        middle = (same + different) // 2
        if tuple(one[same:middle]) == tuple(other[same:middle]):
            same = middle
        else:
            different = middle
    return same
