"""A file's lines with their numbers; a line that is too long never enters memory whole."""

from collections.abc import Iterator
from typing import NamedTuple, TextIO

from worker.imports.limits import MAX_ROW


class Line(NamedTuple):
    number: int  # counted from 1
    text: str  # with its line end; "" when the line was too long
    too_long: bool = False


class RejectedRow(NamedTuple):
    """A row that could not be read."""

    line: int
    reason: str
    text: str = ""  # the start of it, for the download


class FileRow(NamedTuple):
    line: int
    cells: dict


def numbered_lines(file: TextIO) -> Iterator[Line]:
    number = 0
    while piece := file.readline(MAX_ROW):
        number += 1
        if len(piece) < MAX_ROW or piece.endswith(("\n", "\r")):
            yield Line(number, piece)
            continue
        while (rest := file.readline(MAX_ROW)) and not rest.endswith(("\n", "\r")):
            pass
        yield Line(number, "", too_long=True)
