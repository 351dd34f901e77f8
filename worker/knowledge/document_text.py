"""The text of a document as it is put together from its blocks."""

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from worker.imports.text_encoding import printable

MAX_CHARACTERS = 20_000_000  # of one document: about 25 thick books
SPACES = re.compile(r"[^\S\n]+")
GAP = "\n\n"


class Unreadable(Exception):
    """Why this document cannot be read, and what to do; a sentence for the person."""


@dataclass(frozen=True)
class Block:
    """A heading (level 1 to 6) or a piece of running text (level 0), text[at:end]."""

    at: int
    end: int
    level: int = 0
    page: int = 0  # 0 where a document has no pages


@dataclass
class Text:
    """All of a document, in order. What stands between two blocks is an empty line."""

    text: str = ""
    blocks: list[Block] = field(default_factory=list)
    pages: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"pages": self.pages, "blocks": [list(asdict(b).values()) for b in self.blocks]}

    @classmethod
    def from_json(cls, text: str, given: dict[str, Any]) -> "Text":
        return cls(text, [Block(*values) for values in given["blocks"]], given["pages"])


class Writer:
    """Collects blocks; whitespace that says nothing is dropped."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._blocks: list[Block] = []
        self._at = 0
        self.pages = 0

    def heading(self, text: str, level: int, page: int = 0) -> None:
        self._add(" ".join(text.split()), min(max(level, 1), 6), page)

    def paragraph(self, text: str, page: int = 0) -> None:
        """Line ends inside are kept: in lists and tables they mean something."""
        lines = (SPACES.sub(" ", line).strip() for line in text.splitlines())
        self._add("\n".join(line for line in lines if line), 0, page)

    def _add(self, text: str, level: int, page: int) -> None:
        text = printable(text).strip()
        if not text:
            return
        if self._at + len(text) > MAX_CHARACTERS:
            raise Unreadable(
                f"This holds more than {MAX_CHARACTERS // 10**6} million characters. "
                "Bring it in smaller parts."
            )
        self._blocks.append(Block(self._at, self._at + len(text), level, page))
        self._pieces.append(text)
        self._at += len(text) + len(GAP)

    def done(self) -> Text:
        return Text(GAP.join(self._pieces), self._blocks, self.pages)
