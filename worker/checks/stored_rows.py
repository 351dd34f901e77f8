"""Rows of a file, read when they are looked at: a million of them fit into memory."""

import json
import mmap
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from finetune_app.checks.rules.base import CheckRow
from finetune_app.core.chat_messages import Message
from finetune_app.datasets.text import last_said


class RowFile:
    """The file; the row that was read last is at hand."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        empty = path.stat().st_size == 0
        self._map = None if empty else mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at, self._last = -1, []  # type: int, list[Any]

    def line(self, at: int) -> list[Any]:
        """The row that begins at this byte: pk, number, split, prompt hash, messages, look."""
        if at != self._at:
            assert self._map is not None
            self._map.seek(at)
            self._at, self._last = at, json.loads(self._map.readline())
        return self._last

    def places(self) -> Iterator[int]:
        """Where each row begins, in order."""
        if self._map is None:
            return
        at, size = 0, self._map.size()
        while at < size:
            yield at
            at = self._map.find(b"\n", at) + 1


class StoredRow:
    """Looks like a checks.base.Row; its texts stay in the book."""

    __slots__ = ("_at", "_book", "number", "pk", "prompt_hash", "split")

    def __init__(self, book: RowFile, at: int) -> None:
        self._book, self._at = book, at
        self.pk, self.number, split, self.prompt_hash = book.line(at)[:4]
        self.split = sys.intern(split)

    @property
    def messages(self) -> list[Message]:
        return cast(list[Message], self._book.line(self._at)[4])

    @property
    def prompt(self) -> str:
        return last_said(self.messages, "user")

    @property
    def answer(self) -> str:
        return last_said(self.messages, "assistant")


def read_rows(book: RowFile) -> Iterator[tuple[CheckRow, list[Any] | None]]:
    """Each row and what is kept of an earlier look at it."""
    for at in book.places():
        row = StoredRow(book, at)
        yield cast(CheckRow, row), book.line(at)[5]
