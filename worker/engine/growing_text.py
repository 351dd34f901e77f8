"""The text of a growing list of tokens, without decoding all of them at each new one.

A tokenizer decodes a token differently at the beginning of a text and inside of it, and a character
may be several tokens. So new tokens are decoded behind a few older ones, whose own text is then
taken off, as text-generation servers do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.template import REPLACEMENT


class GrowingText:
    """Text of tokens that are only ever added to; special ones have none.

    lengths: characters of the text as it was after each token.
    """

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self._text = ""
        self._settled = ""  # of the tokens before `_read`: it changes no more
        self._behind = self._read = 0  # tokens from `_behind` on are decoded with the new ones

    def decode(self, tokenizer: Any, token_ids: Sequence[int]) -> str:
        """The text of all tokens, of which those known from the last call must be the same."""
        for end in range(len(self.lengths) + 1, len(token_ids) + 1):
            older = token_ids[self._behind : self._read]
            text = _decode(tokenizer, token_ids[self._behind : end])
            new = text[len(_decode(tokenizer, older)) :]
            self._text = self._settled + new
            if new and not new.endswith(REPLACEMENT):
                self._settled, self._behind, self._read = self._text, self._read, end
            self.lengths.append(len(self._text))
        return self._text


def _decode(tokenizer: Any, token_ids: Sequence[int]) -> str:
    return str(tokenizer.decode(token_ids, skip_special_tokens=True))
