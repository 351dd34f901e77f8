"""One-click fixes of findings. Each looks again at the rows as they are now, and is one Edit."""

from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.datasets import checks, splits
from finetune_app.datasets.checks import broken, private, repeats
from finetune_app.datasets.checks.base import Row
from finetune_app.datasets.models import Dataset, Edit, Example, Finding, Split, Status
from finetune_app.datasets.services.editing import change_many

Wanted = dict[int, dict[str, Any]]  # pk -> what becomes of it
Fix = Callable[[Finding, list[Row]], Wanted]
ASIDE = {"status": str(Status.SET_ASIDE)}
AT_ONCE = 500  # keys in one query: databases take only so many variables


def apply(*, finding: Finding, by: User) -> Edit:
    """Apply the finding's fix. Raises PlainError when there is nothing left to mend."""
    dataset = finding.dataset
    rows = checks.rows_of(dataset) if finding.fix in WHOLE_SET else _rows_of(finding)
    wanted = FIXES[finding.fix](finding, rows)
    if not wanted:
        raise PlainError(_("This is mended already."), status=409)
    return change_many(
        dataset=dataset,
        by=by,
        what=f"{finding.fix_label}: {finding.message}",
        examples=[Example(pk=pk) for pk in wanted],  # read anew there
        fields=lambda example: wanted[example.pk],
    )


def choose(*, finding: Finding, right: int, by: User) -> Edit:
    """Of a group of contradictions keep the row `right` (its pk); the others are set aside."""
    group = next((group for group in finding.groups if right in group), None)
    if group is None:
        raise PlainError(_("These examples changed meanwhile. Look again."), status=409)
    there = finding.dataset.examples.usable().filter(pk__in=group)
    others = [row for row in there if row.pk != right]
    if not others or len(others) == len(there):
        raise PlainError(_("This is decided already."), status=409)
    kept = finding.dataset.examples.get(pk=right)
    return change_many(
        dataset=finding.dataset, by=by, what=_("Kept the answer of %s") % kept, examples=others,
        fields=lambda _example: ASIDE,
    )


def _rows_of(finding: Finding) -> list[Row]:
    """The rows that the finding is about, as they are now."""
    wanted = sorted({*finding.examples, *(pk for group in finding.groups for pk in group)})
    rows = []
    for start in range(0, len(wanted), AT_ONCE):
        some = finding.dataset.examples.usable().filter(pk__in=wanted[start : start + AT_ONCE])
        rows += [Row(*one) for one in some.order_by("number").values_list(*Row._fields)]
    return sorted(rows, key=lambda row: row.number)


def _set_aside(finding: Finding, rows: list[Row]) -> Wanted:
    return {row.pk: ASIDE for row in rows}


def _keep_first(groups: Callable[[list[Row]], list[list[Row]]]) -> Fix:
    """Of each group the first row stays."""
    return lambda finding, rows: {row.pk: ASIDE for group in groups(rows) for row in group[1:]}


def _keep_one_of_each(finding: Finding, rows: list[Row]) -> Wanted:
    return {row.pk: ASIDE for group in _groups(finding, rows) for row in group[1:]}


def _groups(finding: Finding, rows: list[Row]) -> list[list[Row]]:
    """The finding's groups as they are now, the first row first."""
    now = {row.pk: row for row in rows}
    groups = [[now[pk] for pk in group if pk in now] for group in finding.groups]
    return [sorted(group, key=lambda row: row.number) for group in groups if len(group) > 1]


def _one_side(finding: Finding, rows: list[Row]) -> Wanted:
    """Out of the test, to where its look-alike is: never the other way, so that nothing the
    model may have learned from ends up in a test."""
    wanted: Wanted = {}
    for group in _groups(finding, rows):
        sides = {row.split for row in group}
        if Split.TEST in sides and len(sides) > 1:
            side = Split.TRAIN if Split.TRAIN in sides else Split.VALIDATION
            wanted |= {row.pk: {"split": str(side)} for row in group if row.split != side}
    return wanted


def _one_side_practice(finding: Finding, rows: list[Row]) -> Wanted:
    return {
        row.pk: {"split": str(Split.TRAIN)}
        for group in _groups(finding, rows)
        if {row.split for row in group} == {Split.TRAIN, Split.VALIDATION}
        for row in group
        if row.split == Split.VALIDATION
    }


def _rewrite(change: Callable[[str], str]) -> Fix:
    """Each message goes through `change`."""

    def fix(finding: Finding, rows: list[Row]) -> Wanted:
        wanted: Wanted = {}
        for row in rows:
            said = [{**one, "content": change(one["content"])} for one in row.messages]
            if said != row.messages:
                wanted[row.pk] = {"messages": said}
        return wanted

    return fix


def _without_secrets(text: str) -> str:
    return private.without(text, private.secrets(text))


def _without_personal(text: str) -> str:
    return private.without(text, private.personal(text))


def _same_instructions(finding: Finding, rows: list[Row]) -> Wanted:
    """The instructions that most examples have go to those that have none."""
    told = [row.messages[0] for row in rows if row.messages and row.messages[0]["role"] == "system"]
    texts = [one["content"] for one in told]
    if not texts:
        return {}
    most = {"role": "system", "content": max(set(texts), key=texts.count)}
    return {
        row.pk: {"messages": [most, *row.messages]} for row in rows
        if all(one["role"] != "system" for one in row.messages)
    }


def _no_instructions(finding: Finding, rows: list[Row]) -> Wanted:
    return {
        row.pk: {"messages": [one for one in row.messages if one["role"] != "system"]}
        for row in rows if any(one["role"] == "system" for one in row.messages)
    }


def _hold_back(side: Split) -> Fix:
    """Move the next in the order of their hashes out of the learning part; where nothing learns,
    all of it may go, and after it questions of the test may become practice, never the reverse."""

    def fix(finding: Finding, rows: list[Row]) -> Wanted:
        dataset: Dataset = finding.dataset
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
    "keep_one_of_each": _keep_one_of_each,
    "one_side": _one_side,
    "one_side_practice": _one_side_practice,
    "hold_back_test": _hold_back(Split.TEST),
    "hold_back_practice": _hold_back(Split.VALIDATION),
    "hide_secrets": _rewrite(_without_secrets),
    "hide_personal": _rewrite(_without_personal),
    "mend_characters": _rewrite(broken.mended),
    "same_instructions": _same_instructions,
    "no_instructions": _no_instructions,
}
# These need more than the rows that the finding names.
WHOLE_SET = {"hold_back_test", "hold_back_practice", "same_instructions"}
