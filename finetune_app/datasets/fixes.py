"""One-click fixes of findings. Each looks again at the rows as they are now, and is one Edit."""

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.datasets import splits
from finetune_app.datasets.checks import leakage, repeats
from finetune_app.datasets.checks.base import Row
from finetune_app.datasets.models import Dataset, Edit, Finding, Split, Status
from finetune_app.datasets.services.editing import change_many

Wanted = dict[int, dict[str, Any]]  # pk -> what becomes of it
Fix = Callable[[Finding, list[Row]], Wanted]


def apply(*, finding: Finding, by: User) -> Edit:
    """Apply the finding's fix. Raises PlainError when there is nothing left to mend."""
    dataset = finding.dataset
    wanted = FIXES[finding.fix](finding, _rows(dataset))
    if not wanted:
        raise PlainError(_("This is mended already."), status=409)
    usable = dataset.examples.usable()
    examples = [row for row in usable.order_by("number").iterator(2_000) if row.pk in wanted]
    return change_many(
        dataset=dataset,
        by=by,
        what=f"{finding.fix_label}: {finding.message}",
        examples=examples,
        fields=lambda example: wanted[example.pk],
    )


def _set_aside(finding: Finding, rows: list[Row]) -> Wanted:
    here = set(finding.examples)
    return {row.pk: {"status": str(Status.SET_ASIDE)} for row in rows if row.pk in here}


def _keep_first(groups: Callable[[list[Row]], list[list[Row]]]) -> Fix:
    """Of each group the first row stays."""

    def fix(finding: Finding, rows: list[Row]) -> Wanted:
        aside = {"status": str(Status.SET_ASIDE)}
        return {row.pk: aside for group in groups(rows) for row in group[1:]}

    return fix


def _one_side(finding: Finding, rows: list[Row]) -> Wanted:
    """Out of the test, to where its look-alike is: never the other way, so that nothing the
    model may have learned from ends up in a test."""
    wanted: Wanted = {}
    for group in leakage.groups_across(rows):
        sides = {row.split for row in group}
        if Split.TEST in sides:
            side = Split.TRAIN if Split.TRAIN in sides else Split.VALIDATION
            wanted |= {row.pk: {"split": str(side)} for row in group if row.split != side}
    return wanted


def _one_side_practice(finding: Finding, rows: list[Row]) -> Wanted:
    return {
        row.pk: {"split": str(Split.TRAIN)}
        for group in leakage.groups_across(rows)
        if {row.split for row in group} == {Split.TRAIN, Split.VALIDATION}
        for row in group
        if row.split == Split.VALIDATION
    }


def _hold_back(side: Split) -> Fix:
    """Move the next in the order of their hashes out of the learning part; where nothing learns,
    all of it may go, and after it questions of the test may become practice, never the reverse."""

    def fix(finding: Finding, rows: list[Row]) -> Wanted:
        dataset = finding.dataset
        shares, trains = splits.shares_of(dataset.goal), dataset.goal.trains
        share = shares.test if side == Split.TEST else shares.validation
        givers = [row for row in rows if row.split == Split.TRAIN]
        if not trains and side == Split.VALIDATION and not givers:
            givers = [row for row in rows if row.split == Split.TEST]
        givers.sort(key=lambda row: splits.place(dataset.seed, row.prompt_hash))
        most = len(givers) if not trains and side == Split.TEST else len(givers) - 1
        want = min(max(1, round(share * len(rows))), most)
        chosen = {row.prompt_hash for row in givers[:want]}
        return {row.pk: {"split": str(side)} for row in givers if row.prompt_hash in chosen}

    return fix


FIXES: dict[str, Fix] = {
    "set_aside": _set_aside,
    "keep_one": _keep_first(repeats.repeated),
    "keep_one_spelling": _keep_first(repeats.spelled_alike),
    "one_side": _one_side,
    "one_side_practice": _one_side_practice,
    "hold_back_test": _hold_back(Split.TEST),
    "hold_back_practice": _hold_back(Split.VALIDATION),
}


def _rows(dataset: Dataset) -> list[Row]:
    values = dataset.examples.usable().order_by("number").values_list(
        "pk", "number", "prompt", "answer", "split", "prompt_hash", "messages"
    )
    return [Row(*one) for one in values]
