"""Matches the rows of a file with examples, for an import that updates or replaces them.

By key where the rows have one, otherwise by equal prompt. The n-th row with a key or prompt matches
the n-th example with it, so that nothing is lost where it occurs more than once.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from finetune_app.core.chat_messages import Message
from finetune_app.datasets.models import Dataset, Example, ExampleQuerySet
from finetune_app.datasets.text import last_answer, prompt_hash, with_kept_thoughts
from finetune_app.imports.column_mapping import MAX_KEY_LENGTH
from finetune_app.imports.schemas import ImportRow, ToolFields

BATCH_ROWS = 2_000
VALUES_PER_QUERY = 500
TOOL_FIELDS = ("tools", "parallel_tool_calls")  # of an example


@dataclass
class Match:
    """A row, and the example it matches: None for a new one."""

    row: ImportRow
    example: Example | None = None

    @property
    def key(self) -> str:
        return self.row.get("key", "")[:MAX_KEY_LENGTH]

    @property
    def messages(self) -> list[Message]:
        """The conversation of the row. Where it has the same answer without a thought, the thought
        of the example stays, as its worse answer does."""
        saved = self.example.messages if self.example else []
        return with_kept_thoughts(self.row["messages"], saved)

    @property
    def is_change(self) -> bool:
        """Whether the row has other messages or tools, or another worse answer. A row without an
        answer never removes one."""
        if self.example is None or not last_answer(self.row["messages"]).strip():
            return False
        new = {
            "messages": self.messages,
            "rejected": self.row.get("rejected") or self.example.rejected,
            **self.tools,
        }
        return any(getattr(self.example, name) != value for name, value in new.items())

    @property
    def tools(self) -> ToolFields:
        """What the row says about tools. A row without tools removes none; one that brings them
        also says whether they may be called at once."""
        fields: ToolFields = {}
        if tools := self.row.get("tools"):
            fields = {"tools": tools, "parallel_tool_calls": None}
        if "parallel_tool_calls" in self.row:
            fields["parallel_tool_calls"] = self.row["parallel_tool_calls"]
        return fields

    @property
    def sets_key(self) -> bool:
        return self.example is not None and bool(self.key) and self.example.key != self.key


class RowMatcher:
    """Matches the rows of one file in order, a few thousand in memory at a time.

    `taken` grows to the primary keys of all matched examples: 60 MB for a million.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.taken: set[int] = set()

    def match(self, rows: Iterable[ImportRow]) -> Iterator[list[Match]]:
        rows = iter(rows)
        while batch := list(islice(rows, BATCH_ROWS)):
            yield self._match(batch)

    def _match(self, rows: list[ImportRow]) -> list[Match]:
        matches = [Match(row) for row in rows]
        keyed = [match for match in matches if match.key]
        self._find(keyed, "key", [match.key for match in keyed])
        # By prompt: rows with a key whose example has none, then rows without a key.
        for has_key in (True, False):
            left = [m for m in matches if m.example is None and bool(m.key) == has_key]
            hashes = [prompt_hash(match.row["messages"]) for match in left]
            self._find(left, "prompt_hash", hashes, only_without_key=has_key)
        return matches

    def _find(
        self,
        matches: list[Match],
        column: str,
        values: list[str],
        *,
        only_without_key: bool = False,
    ) -> None:
        """Match each row with a free example that has its value in `column`."""
        if not matches:
            return
        examples = self.dataset.examples.kept()
        candidates = examples.filter(key="") if only_without_key else examples
        free = self._free(column, values, candidates)
        found: dict[int, Match] = {}
        for match, value in zip(matches, values, strict=True):
            if free[value]:
                found[free[value].popleft()] = match
        self.taken |= found.keys()
        pks = list(found)
        for start in range(0, len(pks), VALUES_PER_QUERY):
            loaded = examples.only("dataset", "number", "messages", "rejected", "key", *TOOL_FIELDS)
            for pk, example in loaded.in_bulk(pks[start : start + VALUES_PER_QUERY]).items():
                found[pk].example = example

    def _free(
        self, column: str, values: list[str], examples: ExampleQuerySet
    ) -> dict[str, deque[int]]:
        """For each value the primary keys of examples that no row matches yet, as many as may be
        needed."""
        wanted: dict[str, int] = defaultdict(int)
        for value in values:
            wanted[value] += 1
        free: dict[str, deque[int]] = defaultdict(deque)
        distinct = list(wanted)
        for start in range(0, len(distinct), VALUES_PER_QUERY):
            some = examples.filter(**{f"{column}__in": distinct[start : start + VALUES_PER_QUERY]})
            for value, pk in some.order_by("number").values_list(column, "pk").iterator(2_000):
                if pk not in self.taken and len(free[value]) < wanted[value]:
                    free[value].append(pk)
        return free
