"""What stands in frozen versions, read a line at a time."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from finetune_app.core.files import local_path
from finetune_app.datasets.models import Dataset
from finetune_app.versions.models import Version

NUMBER = re.compile(rb'\{"id": (\d+),')  # how services/freezing.py begins a line


class NumberSet:
    """A set of numbers below a bound, one bit each: a million take 125 kB."""

    def __init__(self, bound: int) -> None:
        self.bits = bytearray(bound // 8 + 1)

    def add(self, number: int) -> None:
        self.bits[number >> 3] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        at = number >> 3
        return at < len(self.bits) and bool(self.bits[at] >> (number & 7) & 1)


def numbers_in(version: Version) -> Iterator[int]:
    """The numbers of its examples, without reading their texts."""
    return (number for number, _line in _lines(version))


def versions_with_trash(dataset: Dataset) -> list[tuple[Version, int]]:
    """The versions that hold examples which are in the trash now, and how many."""
    gone = NumberSet(dataset.last_number)
    trash = dataset.examples.filter(deleted_at__isnull=False).order_by("number")
    for number in trash.values_list("number", flat=True).iterator(10_000):
        gone.add(number)
    held = [
        (version, sum(number in gone for number in numbers_in(version)))
        for version in dataset.versions.all()
    ]
    return [(version, count) for version, count in held if count]


# ---- Two versions side by side ----

KINDS = ("added", "gone", "changed", "moved")


@dataclass(frozen=True)
class RowDifference:
    """One example that is not the same in both: its row before and after, None where it is not.
    `kinds` has one of KINDS, or two: its text may have changed and its side as well."""

    number: int
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @property
    def kinds(self) -> tuple[str, ...]:
        if self.before is None or self.after is None:
            return ("added",) if self.before is None else ("gone",)
        changed = self.before["messages"] != self.after["messages"]
        moved = self.before["split"] != self.after["split"]
        kinds = {"changed": changed, "moved": moved}
        return tuple(kind for kind, applies in kinds.items() if applies)


@dataclass
class VersionComparison:
    counts: Counter[str] = field(default_factory=Counter)  # by kind, of all
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)  # (from, to)
    some: list[RowDifference] = field(default_factory=list)
    more: bool = False  # there are more of them after `some`


def compare(
    older: Version, newer: Version, *, kind: str, after: int, most: int
) -> VersionComparison:
    """How two versions differ, and up to `most` of the examples that differ by `kind` (any, when
    empty) with numbers above `after`. Reads both files once, a line of each at a time."""
    found = VersionComparison()
    for pair in pairs(older, newer):
        kinds = pair.kinds
        found.counts.update(kinds)
        if pair.before and pair.after and "moved" in kinds:
            found.moves[pair.before["split"], pair.after["split"]] += 1
        if pair.number <= after or not kinds or (kind and kind not in kinds):
            continue
        if len(found.some) < most:
            found.some.append(pair)
        else:
            found.more = True
    return found


def pairs(older: Version, newer: Version) -> Iterator[RowDifference]:
    """Every example that stands otherwise, or not at all, in one of the two, by its number."""
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
    """(number, line); the numbers rise, as they do in the file."""
    path = local_path(version.stored_name)
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            found = NUMBER.match(line)
            yield (int(found[1]) if found else int(json.loads(line)["id"])), line
