"""How easy a text is to read, by LIX."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*+")
# From the first mark of several only, so that the time is linear.
_SENTENCE_END = re.compile(r"(?<![.!?…])[.!?…]++(?=\s|$)|\n+")
LONG_WORD = 7  # letters
# The most LIX that is allowed (Björnsson 1968): books for children, stories, newspapers.
EASE = {"a children's book": 30, "a story": 40, "a newspaper": 50}


def lix(text: str) -> float:
    """Return LIX (Björnsson 1968): words per sentence plus the percentage of words of seven letters
    or more; about 20 (very easy) to 60 (hard). It counts no syllables, so it suits many languages.

    0 for a text without words.
    """
    words = _WORD.findall(text)
    if not words:
        return 0.0
    long_words = sum(len(word) >= LONG_WORD for word in words)
    return len(words) / sentences(text) + 100 * long_words / len(words)


def sentences(text: str) -> int:
    """The number of sentences; a line ends one, too."""
    return sum(bool(_WORD.search(part)) for part in _SENTENCE_END.split(text))
