"""One-click fixes of findings. Each reads the current rows and creates one Edit."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.checks import services as checks
from finetune_app.checks.detectors import mojibake, pii
from finetune_app.checks.models import Finding
from finetune_app.checks.row_texts import rewritten
from finetune_app.checks.rules import duplicates
from finetune_app.checks.rules.base import CheckRow
from finetune_app.core.errors import PlainError
from finetune_app.datasets import splits
from finetune_app.datasets.models import (
    Dataset,
    Edit,
    Example,
    ExampleQuerySet,
    Split,
    Status,
)
from finetune_app.datasets.services import batch_edits, bulk_edits
from finetune_app.datasets.services.editing import change_many

Changes = dict[int, dict[str, Any]]  # pk of an example -> its new values
Fix = Callable[[Finding, list[CheckRow]], Changes]
ASIDE = {"status": str(Status.SET_ASIDE)}
MAX_QUERY_KEYS = 500  # databases limit the number of variables of one query


def apply_fix(*, finding: Finding, by: User) -> Edit:
    """Apply the finding's fix.

    Very many rows are changed by a job: then the edit's `todo` holds what is left. Raises
    PlainError (409) when there is nothing left to fix.
    """
    dataset = finding.dataset
    row_count = dataset.last_number if finding.fix in WHOLE_DATASET else _row_count(finding)
    if row_count > batch_edits.MAX_ROWS_IN_REQUEST:
        return _apply_to_many(finding, by, row_count)
    rows = checks.usable_rows(dataset) if finding.fix in WHOLE_DATASET else _rows_of(finding)
    wanted = FIXES[finding.fix](finding, rows)
    if not wanted:
        raise PlainError(
            _("This has already been fixed, or these examples have changed since the check."),
            status=409,
        )
    return change_many(
        dataset=dataset,
        by=by,
        what=f"{finding.fix_label}: {finding.message}",
        examples=[Example(pk=pk) for pk in wanted],  # change_many reads the rows again
        fields=lambda example: wanted[example.pk],
    )


def keep_answer(*, finding: Finding, right: int, by: User) -> Edit:
    """Keep the row with the pk `right` of its group of contradictions; set the others aside."""
    group = next((group for group in finding.groups if right in group), None)
    if group is None:
        raise PlainError(_("These examples have changed in the meantime. Look again."), status=409)
    there = finding.dataset.examples.usable().filter(pk__in=group)
    others = [row for row in there if row.pk != right]
    if not others or len(others) == len(there):
        raise PlainError(_("This has already been decided."), status=409)
    kept = finding.dataset.examples.get(pk=right)
    return change_many(
        dataset=finding.dataset,
        by=by,
        what=_("Kept the answer of %s") % kept,
        examples=others,
        fields=lambda _example: ASIDE,
    )


def _row_count(finding: Finding) -> int:
    return max(finding.count, sum(map(len, finding.groups)))


def _keys(finding: Finding) -> list[int]:
    return sorted({*finding.examples, *(pk for group in finding.groups for pk in group)})


def _rows_of(finding: Finding) -> list[CheckRow]:
    """The rows of the finding that are as they were."""
    wanted, rows = _keys(finding), []
    for start in range(0, len(wanted), MAX_QUERY_KEYS):
        some = _as_checked(finding.dataset).filter(pk__in=wanted[start : start + MAX_QUERY_KEYS])
        rows += [CheckRow(*one) for one in some.order_by("number").values_list(*CheckRow._fields)]
    return sorted(rows, key=lambda row: row.number)


def _as_checked(dataset: Dataset) -> ExampleQuerySet:
    """Without those that changed since: a finding of a large dataset stays until the next check,
    also of a row that somebody has mended by hand."""
    return dataset.examples.usable().filter(changed_at__lte=dataset.checked_at or timezone.now())


def _set_aside(finding: Finding, rows: list[CheckRow]) -> Changes:
    return {row.pk: ASIDE for row in rows}


def _unpair(finding: Finding, rows: list[CheckRow]) -> Changes:
    return {row.pk: {"rejected": ""} for row in rows}


def _keep_first(groups: Callable[[list[CheckRow]], list[list[CheckRow]]]) -> Fix:
    """A fix that keeps the first row of each group."""
    return lambda finding, rows: {row.pk: ASIDE for group in groups(rows) for row in group[1:]}


def _keep_one_of_each(finding: Finding, rows: list[CheckRow]) -> Changes:
    return {row.pk: ASIDE for group in _groups(finding, rows) for row in group[1:]}


def _groups(finding: Finding, rows: list[CheckRow]) -> list[list[CheckRow]]:
    """The finding's groups with their current rows, the first row first."""
    now = {row.pk: row for row in rows}
    groups = [[now[pk] for pk in group if pk in now] for group in finding.groups]
    return [sorted(group, key=lambda row: row.number) for group in groups if len(group) > 1]


def _test_into_other_split(finding: Finding, rows: list[CheckRow]) -> Changes:
    """Move test rows to the split of their near-duplicates. Nothing moves into the test split, so
    it never contains what a model may have learned from."""
    wanted: Changes = {}
    for group in _groups(finding, rows):
        present = {row.split for row in group}
        if Split.TEST in present and len(present) > 1:
            split = Split.TRAIN if Split.TRAIN in present else Split.VALIDATION
            wanted |= {row.pk: {"split": str(split)} for row in group if row.split != split}
    return wanted


def _validation_into_train(finding: Finding, rows: list[CheckRow]) -> Changes:
    return {
        row.pk: {"split": str(Split.TRAIN)}
        for group in _groups(finding, rows)
        if {row.split for row in group} == {Split.TRAIN, Split.VALIDATION}
        for row in group
        if row.split == Split.VALIDATION
    }


def _rewrite(change: Callable[[str], str]) -> Fix:
    """A fix that applies `change` to all texts of a row (row_texts.py)."""

    def fix(finding: Finding, rows: list[CheckRow]) -> Changes:
        wanted: Changes = {}
        for row in rows:
            changed = [rewritten(one, change) for one in row.messages]
            rejected = change(row.rejected)
            if (changed, rejected) != (row.messages, row.rejected):
                wanted[row.pk] = {"messages": changed, "rejected": rejected}
        return wanted

    return fix


def _without_secrets(text: str) -> str:
    return pii.redacted(text, pii.secrets(text))


def _without_personal(text: str) -> str:
    return pii.redacted(text, pii.personal(text))


def _same_instructions(finding: Finding, rows: list[CheckRow]) -> Changes:
    """Give the most common instructions to the examples that have none."""
    instructions = Counter(
        row.messages[0]["content"]
        for row in rows
        if row.messages and row.messages[0]["role"] == "system"
    )
    return _with_instructions(rows, instructions.most_common(1)[0][0]) if instructions else {}


def _with_instructions(rows: list[CheckRow], text: str) -> Changes:
    instructions = {"role": "system", "content": text}
    return {
        row.pk: {"messages": [instructions, *row.messages]}
        for row in rows
        if all(one["role"] != "system" for one in row.messages)
    }


def _no_instructions(finding: Finding, rows: list[CheckRow]) -> Changes:
    return {
        row.pk: {"messages": [one for one in row.messages if one["role"] != "system"]}
        for row in rows
        if any(one["role"] == "system" for one in row.messages)
    }


def _hold_back(split: Split) -> Fix:
    """A fix that moves rows from the train split into `split`, in the order of their hashes.

    Where nothing is trained, the train split may be emptied; test questions may then become
    validation questions, but never the reverse.
    """

    def fix(finding: Finding, rows: list[CheckRow]) -> Changes:
        dataset: Dataset = finding.dataset
        shares, trains = splits.shares_of(dataset.goal), dataset.goal.trains
        share = shares.test if split == Split.TEST else shares.validation
        movable = [row for row in rows if row.split == Split.TRAIN]
        if not trains and split == Split.VALIDATION and not movable:
            movable = [row for row in rows if row.split == Split.TEST]
        movable.sort(key=lambda row: splits.hash_fraction(dataset.seed, row.prompt_hash))
        limit = len(movable) if not trains and split == Split.TEST else len(movable) - 1
        count = min(max(1, round(share * len(rows))), limit)
        chosen = _whole_groups(movable, count, limit)
        return {row.pk: {"split": str(split)} for row in chosen}

    return fix


def _whole_groups(rows: list[CheckRow], count: int, limit: int) -> list[CheckRow]:
    """The first `count` rows, and all that ask the same or have the same group: at most `limit`."""
    together: dict[tuple[str, str], list[CheckRow]] = defaultdict(list)
    for row in rows:
        together["group" if row.group else "prompt", row.group or row.prompt_hash].append(row)
    chosen: list[CheckRow] = []
    for unit in together.values():
        if len(chosen) < count and len(chosen) + len(unit) <= limit:
            chosen += unit
    return chosen


FIXES: dict[str, Fix] = {
    "set_aside": _set_aside,
    "unpair": _unpair,
    "keep_one": _keep_first(duplicates.repeated),
    "keep_one_spelling": _keep_first(duplicates.spelled_alike),
    "keep_one_of_each": _keep_one_of_each,
    "one_side": _test_into_other_split,
    "one_side_practice": _validation_into_train,
    "hold_back_test": _hold_back(Split.TEST),
    "hold_back_practice": _hold_back(Split.VALIDATION),
    "hide_secrets": _rewrite(_without_secrets),
    "hide_personal": _rewrite(_without_personal),
    "mend_characters": _rewrite(mojibake.repaired),
    "same_instructions": _same_instructions,
    "no_instructions": _no_instructions,
}
# These fixes read all rows of the dataset, not only those of the finding.
WHOLE_DATASET = {"hold_back_test", "hold_back_practice", "same_instructions"}


# ---- Very many rows, changed by a job: a million conversations do not fit into memory ----

REWRITE_BATCH = 1_000  # rows in one transaction
REWRITES = {
    "hide_secrets",
    "hide_personal",
    "mend_characters",
    "same_instructions",
    "no_instructions",
}
# With very many rows the groups of the finding are used.
BY_GROUPS = {"keep_one": _keep_one_of_each, "keep_one_spelling": _keep_one_of_each}


def _apply_to_many(finding: Finding, by: User, row_count: int) -> Edit:
    return batch_edits.begin(
        dataset=finding.dataset,
        by=by,
        what=f"{finding.fix_label}: {finding.message}",
        rows=row_count,
        todo={
            "do": "apply_fix",
            "check": finding.check_name,
            "fix": finding.fix,
            "next": 0,
            "last": finding.dataset.last_number,
        },
    )


@batch_edits.batch_step("apply_fix")
def _plan(edit: Edit, dataset: Dataset) -> None:
    """The first step: store the numbers of the rows to change in the edit."""
    finding = dataset.findings.filter(check_name=edit.todo["check"], fix=edit.todo["fix"]).first()
    if finding is None:  # fixed in the meantime
        edit.todo = {}
        return
    whole = finding.fix in WHOLE_DATASET
    light = _light_rows(dataset, None if whole else _keys(finding))
    if finding.fix in REWRITES:
        edit.todo = {
            "do": "rewrite",
            "fix": finding.fix,
            "next": 0,
            "last": dataset.last_number,
            "numbers": [row.number for row in light],
            "text": _most_common_instructions(dataset) if whole else "",
        }
        return
    rows = list(light)
    fix = BY_GROUPS.get(finding.fix, FIXES[finding.fix])
    numbers: dict[tuple[tuple[str, Any], ...], list[int]] = defaultdict(list)
    wanted = fix(finding, rows)
    for row in rows:
        if row.pk in wanted:
            numbers[tuple(wanted[row.pk].items())].append(row.number)
    what = edit.what.replace("%", "%%")
    *then, first = [
        bulk_edits.pending_bulk_edit(
            dict(after), what, "?status=approved", some, dataset.last_number
        )
        for after, some in numbers.items()
    ] or [{}]
    edit.todo = first | ({"then": then} if then else {})


def _light_rows(dataset: Dataset, keys: list[int] | None) -> Iterator[CheckRow]:
    """Usable rows without their texts, in order: all of them, or those with these keys that are as
    they were when they were checked."""
    usable = dataset.examples.usable() if keys is None else _as_checked(dataset)
    names = ("pk", "number", "split", "prompt_hash", "group")
    wanted = None if keys is None else set(keys)
    found = usable.order_by("number").values_list(*names)
    for pk, number, split, prompt_hash, group in found.iterator(2_000):
        if wanted is None or pk in wanted:
            yield CheckRow(pk, number, "", "", split, prompt_hash, [], group=group)


def _most_common_instructions(dataset: Dataset) -> str:
    usable = dataset.examples.usable().values_list("messages", flat=True)
    instructions = Counter(
        messages[0]["content"]
        for messages in usable.iterator(2_000)
        if messages and messages[0]["role"] == "system"
    )
    return str(instructions.most_common(1)[0][0]) if instructions else ""


@batch_edits.batch_step("rewrite")
def _rewrite_batch(edit: Edit, dataset: Dataset) -> None:
    todo = edit.todo
    numbers = todo["numbers"][:REWRITE_BATCH]
    if not numbers:
        edit.todo = {}
        return
    rows: list[CheckRow] = []
    for start in range(0, len(numbers), MAX_QUERY_KEYS):
        some = dataset.examples.usable().filter(number__in=numbers[start : start + MAX_QUERY_KEYS])
        rows += [CheckRow(*one) for one in some.order_by("number").values_list(*CheckRow._fields)]
    same = todo["fix"] == "same_instructions"
    wanted = _with_instructions(rows, todo["text"]) if same else FIXES[todo["fix"]](Finding(), rows)
    change_many(
        dataset=dataset,
        by=edit.by,
        what="",
        edit=edit,
        examples=[Example(pk=pk) for pk in wanted],
        fields=lambda example: wanted[example.pk],
    )
    edit.todo = todo | {"next": numbers[-1], "numbers": todo["numbers"][REWRITE_BATCH:]}
