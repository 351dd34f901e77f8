"""Finds the rows that ask nearly the same: groups, and pairs that a typing mistake may explain."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from finetune_app.checks.rules.base import CheckRow, NearDuplicates
from finetune_app.datasets import near_duplicates

# From here on two prompts may only differ by a typing mistake or two.
TYPO_SIMILARITY = 0.6


class ComparedTexts(Sequence[str]):
    """The question of each row without the start and end that all rows share.

    Each text is built on access, so a million texts are never in memory at once.
    """

    def __init__(self, rows: list[CheckRow]) -> None:
        self._rows = rows
        self._ends = (0, 0)
        self._ends = near_duplicates.shared_ends(self)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        return near_duplicates.trim(
            near_duplicates.question(self._rows[place].messages), *self._ends
        )


def find_near_duplicates(
    rows: list[CheckRow], signed: near_duplicates.Hook = lambda done: None
) -> NearDuplicates:
    """The rows that ask nearly the same. `signed` is called with the number of texts done."""
    texts: Sequence[str] = ComparedTexts(rows)
    if len(rows) <= near_duplicates.MOST_ROWS:
        texts = list(texts)
    same: list[tuple[int, int]] = []
    pairs: list[tuple[CheckRow, CheckRow]] = []
    for one, other, jaccard in near_duplicates.scored_pairs(texts, TYPO_SIMILARITY, signed):
        if jaccard >= near_duplicates.SAME_SIMILARITY:
            same.append((one, other))
        pairs.append((rows[one], rows[other]))
    groups: dict[object, list[CheckRow]] = defaultdict(list)
    for leader, row in zip(near_duplicates.merge_pairs(texts, same), rows, strict=True):
        groups[leader].append(row)
    return NearDuplicates([group for group in groups.values() if len(group) > 1], pairs)
