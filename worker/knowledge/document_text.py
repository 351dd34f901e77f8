"""The text of a document, built from headings and paragraphs."""

import re
from dataclasses import dataclass, field

from finetune_app.core.storable_text import storable

MAX_CHARACTERS = 20_000_000  # of one document: about 25 thick books
SPACES = re.compile(r"[^\S\n]+")
BLOCK_SEPARATOR = "\n\n"


class Unreadable(Exception):
    """A document cannot be read. The message, shown to the user, says why and what to do."""


@dataclass(frozen=True)
class Block:
    """text[start:end]: a heading (level 1 to 6) or a paragraph (level 0)."""

    start: int
    end: int
    level: int = 0
    page: int = 0  # from 1; 0 where a document has no pages


@dataclass
class DocumentText:
    """The text, and its blocks in order, separated by BLOCK_SEPARATOR."""

    text: str = ""
    blocks: list[Block] = field(default_factory=list)
    pages: int = 0


class TextBuilder:
    """Collects blocks and normalises their whitespace."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._length = 0
        self.pages = 0

    def heading(self, text: str, level: int, page: int = 0) -> None:
        self._add(" ".join(text.split()), min(max(level, 1), 6), page)

    def paragraph(self, text: str, page: int = 0) -> None:
        """Keeps line breaks, which lists and tables need."""
        lines = (SPACES.sub(" ", line).strip() for line in text.splitlines())
        self._add("\n".join(line for line in lines if line), 0, page)

    def _add(self, text: str, level: int, page: int) -> None:
        """Raises Unreadable when the document becomes too long."""
        text = storable(text).strip()
        if not text:
            return
        if self._length + len(text) > MAX_CHARACTERS:
            raise Unreadable(
                f"This holds more than {MAX_CHARACTERS // 10**6} million characters. "
                "Split it into smaller files."
            )
        self._blocks.append(Block(self._length, self._length + len(text), level, page))
        self._parts.append(text)
        self._length += len(text) + len(BLOCK_SEPARATOR)

    def build(self) -> DocumentText:
        return DocumentText(BLOCK_SEPARATOR.join(self._parts), self._blocks, self.pages)
