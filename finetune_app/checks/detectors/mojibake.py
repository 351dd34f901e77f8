"""Characters decoded with the wrong encoding (Ã© instead of é), and replacement characters."""

from collections.abc import Iterator

import ftfy
from ftfy.badness import is_bad

LOST = "\ufffd"
MAX_CHARACTERS = 200_000  # characters of a message that are scanned


def broken_words(text: str) -> list[tuple[int, int]]:
    """The spans of the words with broken characters."""
    if text.isascii():
        return []
    text = text[:MAX_CHARACTERS]
    if LOST not in text and not is_bad(text):
        return []
    return list(_words(text))


def repaired(text: str) -> str:
    """The text with its broken words decoded correctly. Replacement characters stay."""
    parts, last = [], 0
    for start, end in broken_words(text):
        parts += [text[last:start], ftfy.fix_encoding(text[start:end])]
        last = end
    return "".join([*parts, text[last:]])


def _words(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    for line in text.splitlines(keepends=True):
        for word in line.split(" "):
            if not word.isascii() and (LOST in word or is_bad(word)):
                yield at, at + len(word)
            at += len(word) + 1
        at -= 1
