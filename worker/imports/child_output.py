"""What the readers in the sandbox share: batches of rows, and the error that names a reason."""

from collections.abc import Iterable, Iterator
from typing import Any

# A line of output has at most so many rows, or about so much text.
BATCH_ROWS = 200
BATCH_CHARACTERS = 500_000


class UnreadableFile(Exception):
    """The file cannot be read; the message says why."""


def batches(rows: Iterable[list[Any]]) -> Iterator[list[list[Any]]]:
    """[line, cells] rows in lists of limited size."""
    batch: list[list[Any]] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += sum(len(cell) if isinstance(cell, str) else 50 for cell in row[1])
        if len(batch) == BATCH_ROWS or characters > BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
