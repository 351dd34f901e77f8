"""Drafts: the next tokens are guessed from earlier ones, and checked in one forward pass.

An answer often repeats a part of its prompt or of itself: a name, a line of a form, a passage. When
the last tokens have occurred before, those that followed them are likely again. On a CPU a pass for
a few tokens takes as long as for one, so a wrong guess costs little. Only tokens that the model
would have written anyway are kept, so greedy answers stay the same (prompt lookup decoding,
github.com/apoorvumang/prompt-lookup-decoding).
"""

from __future__ import annotations

from collections.abc import Sequence

NGRAM = 3  # so many tokens have to be the same
MOST_TOKENS = 8  # of one draft
LONGEST_REST = 32  # steps without a draft, after several that were wrong


class Drafts:
    """Guesses for one sequence."""

    def __init__(self) -> None:
        self._follows: dict[tuple[int, ...], int] = {}  # three tokens -> where their next one is
        self._read = 0
        self._rest = self._pause = 0

    def next(self, token_ids: Sequence[int], most: int) -> list[int]:
        """What probably follows these tokens, which continue those of the last call."""
        last = self._index(token_ids)
        if self._rest:
            self._rest -= 1
            return []
        if last is None:
            return []
        return list(token_ids[last : last + min(most, MOST_TOKENS)])

    def note(self, right: int) -> None:
        """So many tokens of the last draft were right. After wrong ones the next waits longer."""
        self._pause = 0 if right else min(LONGEST_REST, 2 * self._pause + 1)
        self._rest = self._pause

    def _index(self, token_ids: Sequence[int]) -> int | None:
        """Where what followed the last tokens begins, if they have occurred before."""
        for end in range(max(NGRAM, self._read + 1), len(token_ids)):
            self._follows[tuple(token_ids[end - NGRAM : end])] = end
        self._read = max(self._read, len(token_ids) - 1)
        return self._follows.get(tuple(token_ids[-NGRAM:]))
