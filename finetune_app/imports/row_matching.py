"""Which example a row of a file stands for, when a file updates what is here.

By key where the rows have one, else by equal prompt. The n-th row of a key stands for the n-th
example of that key, so that nothing is lost where a key or a prompt occurs more than once.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from finetune_app.datasets.models import Dataset, Example, ExampleQuerySet
from finetune_app.datasets.text import last_said, prompt_hash

BATCH_ROWS = 2_000  # rows
KEYS_PER_QUERY = 500
Row = dict[str, Any]


@dataclass
class Match:
    """A row, and the example it stands for: None for a new one."""

    row: Row
    example: Example | None = None

    @property
    def is_change(self) -> bool:
        """A row without an answer never takes one away."""
        if self.example is None or self.example.messages == self.row["messages"]:
            return False
        return bool(last_said(self.row["messages"], "assistant").strip())

    @property
    def sets_key(self) -> bool:
        key = self.row.get("key", "")[:200]
        return self.example is not None and bool(key) and self.example.key != key


class RowMatcher:
    """Goes through the rows of one file in their order, a few thousand in memory at a time.

    `taken` grows to the keys of all examples that were found: 60 MB for a million.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.taken: set[int] = set()

    def match(self, rows: Iterable[Row]) -> Iterator[list[Match]]:
        rows = iter(rows)
        while some := list(islice(rows, BATCH_ROWS)):
            yield self._match(some)

    def _match(self, rows: list[Row]) -> list[Match]:
        matches = [Match(row) for row in rows]
        keyed = [one for one in matches if one.row.get("key")]
        self._find(keyed, "key", [one.row["key"][:200] for one in keyed])
        # Rows that have no key, here or in the file, are known by what they ask.
        for in_file in (True, False):
            left = [
                one
                for one in matches
                if one.example is None and bool(one.row.get("key")) == in_file
            ]
            asked = [prompt_hash(one.row["messages"]) for one in left]
            self._find(left, "prompt_hash", asked, without_key=in_file)
        return matches

    def _find(
        self, matches: list[Match], column: str, values: list[str], *, without_key: bool = False
    ) -> None:
        if not matches:
            return
        among = self.dataset.examples.kept()
        free = self._free(column, values, among.filter(key="") if without_key else among)
        found: dict[int, Match] = {}
        for one, value in zip(matches, values, strict=True):
            if free[value]:
                found[free[value].popleft()] = one
        self.taken |= found.keys()
        every = list(found)
        for start in range(0, len(every), KEYS_PER_QUERY):
            some = among.only("dataset", "number", "messages", "key")
            for pk, example in some.in_bulk(every[start : start + KEYS_PER_QUERY]).items():
                found[pk].example = example

    def _free(
        self, column: str, values: list[str], among: ExampleQuerySet
    ) -> dict[str, deque[int]]:
        """For each value the examples that no row stands for yet, as many as may be needed."""
        wanted: dict[str, int] = defaultdict(int)
        for value in values:
            wanted[value] += 1
        free: dict[str, deque[int]] = defaultdict(deque)
        every = list(wanted)
        for start in range(0, len(every), KEYS_PER_QUERY):
            some = among.filter(**{f"{column}__in": every[start : start + KEYS_PER_QUERY]})
            for value, pk in some.order_by("number").values_list(column, "pk").iterator(2_000):
                if pk not in self.taken and len(free[value]) < wanted[value]:
                    free[value].append(pk)
        return free
