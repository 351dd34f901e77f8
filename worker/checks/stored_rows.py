"""Rows of a file, read on access, so that a million of them fit into memory."""

import json
import mmap
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from finetune_app.checks.rules.base import CheckRow
from finetune_app.core.chat_messages import Message
from finetune_app.datasets.text import last_answer, last_content


class RowFile:
    """A memory-mapped file of rows. The row read last is cached."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        empty = path.stat().st_size == 0
        self._map = None if empty else mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at, self._last = -1, []  # type: int, list[Any]

    def line(self, at: int) -> list[Any]:
        """The row that begins at this byte: pk, number, split, prompt hash, group, messages, worse
        answer, scan."""
        if at != self._at:
            assert self._map is not None
            self._map.seek(at)
            self._at, self._last = at, json.loads(self._map.readline())
        return self._last

    def offsets(self) -> Iterator[int]:
        """The byte at which each row begins, in order."""
        if self._map is None:
            return
        at, size = 0, self._map.size()
        while at < size:
            yield at
            at = self._map.find(b"\n", at) + 1


class StoredRow:
    """Has the attributes of a CheckRow; its texts stay in the file."""

    __slots__ = ("_at", "_file", "group", "number", "pk", "prompt_hash", "split")

    def __init__(self, file: RowFile, at: int) -> None:
        self._file, self._at = file, at
        self.pk, self.number, split, self.prompt_hash, group = file.line(at)[:5]
        self.split, self.group = sys.intern(split), sys.intern(group)

    @property
    def messages(self) -> list[Message]:
        return cast(list[Message], self._file.line(self._at)[5])

    @property
    def rejected(self) -> str:
        return str(self._file.line(self._at)[6])

    @property
    def prompt(self) -> str:
        return last_content(self.messages, "user")

    @property
    def answer(self) -> str:
        return last_answer(self.messages)


def read_rows(file: RowFile) -> Iterator[tuple[CheckRow, list[Any] | None]]:
    """Each row and its cached scan."""
    for at in file.offsets():
        row = StoredRow(file, at)
        yield cast(CheckRow, row), file.line(at)[7]
