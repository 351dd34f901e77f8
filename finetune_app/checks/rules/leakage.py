"""Rules about the same, or nearly the same, question in two splits."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import (
    CheckContext,
    CheckResult,
    CheckRow,
    NearDuplicates,
    grouped,
)
from finetune_app.datasets import near_duplicates, splits
from finetune_app.datasets.models import Split

SAME_SIMILARITY = 0.8  # Jaccard similarity from which two prompts count as the same
TYPO_SIMILARITY = 0.6  # from which two may only differ by a typing mistake or two


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
        if jaccard >= SAME_SIMILARITY:
            same.append((one, other))
        pairs.append((rows[one], rows[other]))
    groups: dict[object, list[CheckRow]] = defaultdict(list)
    for leader, row in zip(near_duplicates.merge_pairs(texts, same), rows, strict=True):
        groups[leader].append(row)
    return NearDuplicates([group for group in groups.values() if len(group) > 1], pairs)


def groups_across(alike: list[list[CheckRow]], total: int) -> list[list[CheckRow]]:
    """The groups with (nearly) the same question whose rows are in more than one split.

    Groups too large to be kept in one split (they share an instruction, say) are regrouped by
    exactly the same question.
    """
    groups: list[list[CheckRow]] = []
    for group in alike:
        if not splits.is_too_big(len(group), total):
            groups.append(group)
            continue
        same: dict[str, list[CheckRow]] = defaultdict(list)
        for row in group:
            same[row.prompt_hash].append(row)
        groups += same.values()
    return [group for group in groups if len({row.split for row in group}) > 1]


def leaked_prompts(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    groups = groups_across(context.near_duplicates.groups, len(rows))
    yield from _in_the_test(groups)
    yield from _in_practice(groups)


def _in_the_test(groups: list[list[CheckRow]]) -> Iterator[CheckResult]:
    leaking = [(group, [row for row in group if row.split == Split.TEST]) for group in groups]
    count = sum(len(tests) for _group, tests in leaking)
    if count:
        yield CheckResult(
            check="leakage",
            severity=Severity.ERROR,
            message=ngettext(
                "%(n)s test prompt is also, exactly or nearly, a training example",
                "%(n)s test prompts are also, exactly or nearly, training examples",
                count,
            )
            % {"n": count},
            why=_("It would pass those from memory, and the result would look better than it is."),
            examples=[row.pk for group, tests in leaking if tests for row in group],
            groups=grouped(group for group, tests in leaking if tests),
            fix="one_side",
            fix_label=_("Move %(n)s out") % {"n": count},
        )


def _in_practice(groups: list[list[CheckRow]]) -> Iterator[CheckResult]:
    both = {Split.TRAIN, Split.VALIDATION}
    leaking = [group for group in groups if {row.split for row in group} == both]
    count = sum(row.split == Split.VALIDATION for group in leaking for row in group)
    if count:
        yield CheckResult(
            check="practice_leakage",
            severity=Severity.WARNING,
            message=ngettext(
                "%(n)s practice prompt is also, exactly or nearly, a training example",
                "%(n)s practice prompts are also, exactly or nearly, training examples",
                count,
            )
            % {"n": count},
            why=_(
                "Practice prompts show when to stop learning. They can only do so if they are "
                "new to the model."
            ),
            examples=[row.pk for group in leaking for row in group],
            groups=grouped(leaking),
            fix="one_side_practice",
            fix_label=_("Move %(n)s over") % {"n": count},
        )
