"""What stands in frozen versions, read a line at a time."""

import json
import re
from collections.abc import Iterator

from finetune_app.core.files import local_path
from finetune_app.datasets.models import Dataset, Version

NUMBER = re.compile(rb'\{"id": (\d+),')  # how services/freezing.py begins a line


class Numbers:
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
    path = local_path(version.stored_name)
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            found = NUMBER.match(line)
            yield int(found[1]) if found else int(json.loads(line)["id"])


def versions_with_trash(dataset: Dataset) -> list[tuple[Version, int]]:
    """The versions that hold examples which are in the trash now, and how many."""
    gone = Numbers(dataset.last_number)
    trash = dataset.examples.filter(deleted_at__isnull=False).order_by("number")
    for number in trash.values_list("number", flat=True).iterator(10_000):
        gone.add(number)
    held = [(version, sum(number in gone for number in numbers_in(version)))
            for version in dataset.versions.all()]  # fmt: skip
    return [(version, count) for version, count in held if count]
