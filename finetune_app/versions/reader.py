"""Reads the files of frozen versions line by line."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from finetune_app.core.files import local_path
from finetune_app.datasets.models import Dataset, Split
from finetune_app.datasets.version_rows import TOOL_KEYS, Row
from finetune_app.versions.models import Version

NUMBER = re.compile(rb'\{"id": (\d+),')  # the start of a line written by versions/services.py
FEW = 200  # examples that are looked for one by one; for more the whole file is read


class NumberSet:
    """A set of numbers up to a bound, with one bit each: a million take 125 kB."""

    def __init__(self, bound: int) -> None:
        self.bits = bytearray(bound // 8 + 1)

    def add(self, number: int) -> None:
        self.bits[number >> 3] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        at = number >> 3
        return at < len(self.bits) and bool(self.bits[at] >> (number & 7) & 1)


def versions_with_trash(dataset: Dataset) -> list[tuple[Version, int]]:
    """The versions that contain examples now in the trash, and how many."""
    trash = dataset.examples.filter(deleted_at__isnull=False).order_by("number")
    trashed = trash.values_list("number", flat=True)
    some = list(trashed[: FEW + 1])
    if len(some) <= FEW:
        counts = [(version, _count_few(version, some)) for version in dataset.versions.all()]
    else:
        many = NumberSet(dataset.last_number)
        for number in trashed.iterator(10_000):
            many.add(number)
        counts = [
            (version, sum(number in many for number, _line in _lines(version)))
            for version in dataset.versions.all()
        ]
    return [(version, count) for version, count in counts if count]


def _count_few(version: Version, numbers: Sequence[int]) -> int:
    """How many of these examples the version contains: reads a few lines for each of them."""
    path = local_path(version.stored_name)
    if not path.exists():
        return 0
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        return sum(_has_line(file, size, number) for number in numbers)


def _has_line(file: BinaryIO, size: int, number: int) -> bool:
    """Halves the part of the file in which the line of this number begins: lines are in order."""
    start, end = 0, size
    while start < end:
        middle = (start + end) // 2
        file.seek(max(0, middle - 1))
        if middle:
            file.readline()  # to the beginning of the next line
        if (begin := file.tell()) >= end:
            end = middle
            continue
        line = file.readline()
        if (found := _number_of(line)) == number:
            return True
        if found > number:
            end = middle
        else:
            start = begin + len(line)
    return False


def write_without_test_rows(version: Version, path: Path) -> None:
    """A copy of the version's file for work that must not see the test rows, at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    with draft.open("wb") as file:
        file.writelines(
            line for _number, line in _lines(version) if json.loads(line)["split"] != Split.TEST
        )
    draft.replace(path)


def source_counts(version: Version) -> Counter[str]:
    """How many examples came from each source, such as the name of an imported file.

    Only the end of each line is parsed: the source is the last field of a row.
    """
    found = Counter(line.rpartition(b'"source": ')[2] for _number, line in _lines(version))
    counts: Counter[str] = Counter()
    for end, count in found.items():
        counts[json.loads(end.rstrip().removesuffix(b"}"))] += count
    return counts


# ---- Comparison of two versions ----

KINDS = ("added", "gone", "changed", "moved")
CONTENT_KEYS = ("messages", "rejected", *TOOL_KEYS)


@dataclass(frozen=True)
class RowDifference:
    """One example that differs between two versions; `before` or `after` is None if it is missing.

    `kinds` contains one of KINDS, or both "changed" and "moved".
    """

    number: int
    before: Row | None
    after: Row | None

    @property
    def kinds(self) -> tuple[str, ...]:
        if self.before is None or self.after is None:
            return ("added",) if self.before is None else ("gone",)
        changed = any(self.before.get(key) != self.after.get(key) for key in CONTENT_KEYS)
        moved = self.before["split"] != self.after["split"]
        kinds = {"changed": changed, "moved": moved}
        return tuple(kind for kind, applies in kinds.items() if applies)


@dataclass
class VersionComparison:
    counts: Counter[str] = field(default_factory=Counter)  # all differences, by kind
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)  # by (from, to) split
    differences: list[RowDifference] = field(default_factory=list)  # one page
    more: bool = False  # whether there is a next page


def compare(
    older: Version, newer: Version, *, kind: str, after: int, limit: int
) -> VersionComparison:
    """Compare two versions. Both files are read once, line by line.

    `differences` gets up to `limit` examples with numbers above `after` that differ by `kind`, or
    by any kind if it is "".
    """
    found = VersionComparison()
    for pair in iter_differences(older, newer):
        kinds = pair.kinds
        found.counts.update(kinds)
        if pair.before and pair.after and "moved" in kinds:
            found.moves[pair.before["split"], pair.after["split"]] += 1
        if pair.number <= after or not kinds or (kind and kind not in kinds):
            continue
        if len(found.differences) < limit:
            found.differences.append(pair)
        else:
            found.more = True
    return found


def iter_differences(older: Version, newer: Version) -> Iterator[RowDifference]:
    """Every example that differs between the two versions, by ascending number."""
    old, new = _lines(older), _lines(newer)
    ours, theirs = next(old, None), next(new, None)
    while ours or theirs:
        if theirs is None or (ours is not None and ours[0] < theirs[0]):
            assert ours is not None
            yield RowDifference(ours[0], json.loads(ours[1]), None)
            ours = next(old, None)
        elif ours is None or theirs[0] < ours[0]:
            yield RowDifference(theirs[0], None, json.loads(theirs[1]))
            theirs = next(new, None)
        else:
            if ours[1] != theirs[1]:
                yield RowDifference(ours[0], json.loads(ours[1]), json.loads(theirs[1]))
            ours, theirs = next(old, None), next(new, None)


def _lines(version: Version) -> Iterator[tuple[int, bytes]]:
    """(number, line) of each row, in ascending order of the numbers."""
    path = local_path(version.stored_name)
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            yield _number_of(line), line


def _number_of(line: bytes) -> int:
    found = NUMBER.match(line)
    return int(found[1]) if found else int(json.loads(line)["id"])
