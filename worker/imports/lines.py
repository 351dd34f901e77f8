"""A file's lines with their numbers; a line that is too long never enters memory whole."""

from collections.abc import Iterator
from typing import NamedTuple, TextIO

from worker.imports.limits import MOST_ROW


class Line(NamedTuple):
    number: int  # counted from 1
    text: str  # with its line end; "" when the line was too long
    too_long: bool = False


class Bad(NamedTuple):
    """A row that could not be read."""

    line: int
    reason: str
    text: str = ""  # the start of it, for the download


class Row(NamedTuple):
    line: int
    cells: dict


def lines_of(file: TextIO) -> Iterator[Line]:
    number = 0
    while piece := file.readline(MOST_ROW):
        number += 1
        if len(piece) < MOST_ROW or piece.endswith(("\n", "\r")):
            yield Line(number, piece)
            continue
        while (rest := file.readline(MOST_ROW)) and not rest.endswith(("\n", "\r")):
            pass
        yield Line(number, "", too_long=True)
