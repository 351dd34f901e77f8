"""Adding examples: rows of a file, or one written by hand."""

from collections.abc import Collection, Sequence
from functools import partial

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core import bulk_sql
from finetune_app.core.chat_messages import Message
from finetune_app.core.tool_calls import has_answer
from finetune_app.datasets import near_duplicates, splits
from finetune_app.datasets.models import Change, Dataset, Edit, Example, Import, Status
from finetune_app.datasets.schemas import RowToAdd
from finetune_app.datasets.services.editing import validate_messages, validated_rejected
from finetune_app.datasets.services.locking import lock, mark_changed
from finetune_app.datasets.split_assignment import assign, label_of

ROWS_PER_BATCH = near_duplicates.MOST_ROWS  # rows whose splits are assigned together


def add_rows(
    *,
    dataset: Dataset,
    by: User | None,
    rows: Sequence[RowToAdd],
    source: str = "",
    source_import: Import | None = None,
    status: str = Status.APPROVED,
) -> int:
    """Add rows and return how many.

    All or nothing, in one transaction: files of any size come in through imports/import_rows.py.
    """
    build = partial(
        build_examples,
        dataset,
        by=by,
        source=source,
        source_import=source_import,
        status=status,
        named={row.get("split") or "" for row in rows},
    )
    with transaction.atomic():
        locked = lock(dataset)
        for start in range(0, len(rows), ROWS_PER_BATCH):
            store_new(locked, build(rows[start : start + ROWS_PER_BATCH]))
        mark_changed(dataset)
    return len(rows)


def add_example(
    *,
    dataset: Dataset,
    by: User,
    messages: list[Message],
    rejected: str = "",
    split: str = "",
    source: str = "",
) -> tuple[Example, Edit]:
    """One example written by hand: approved when it has an answer, else a draft."""
    validate_messages(messages)
    rejected = validated_rejected(rejected, messages)
    done = has_answer(messages[-1])
    with transaction.atomic():
        [example] = build_examples(
            dataset,
            [{"messages": messages, "rejected": rejected, "split": split}],
            by=by,
            source=source or _("written here"),
            status=Status.APPROVED if done else Status.DRAFT,
        )
        store_new(lock(dataset), [example])
        mark_changed(dataset)
        return example, _edit_of_new(example, by, _("Added %s") % example)


def add_pair_beside(
    *, row: Example, by: User, messages: list[Message], rejected: str, source: str, what: str
) -> tuple[Example, Edit]:
    """A training pair with the conversation of an existing row, in that row's split and group.

    `messages` end in the better answer, `rejected` is the worse one; `what` names the edit. Raises
    PlainError when they are the same.
    """
    validate_messages(messages)
    rejected = validated_rejected(rejected, messages)
    with transaction.atomic():
        locked = lock(row.dataset)
        example = Example(
            dataset=row.dataset,
            source=source[:200],
            changed_by=by,
            group=row.group,
            rejected=rejected,
            split=row.split,
            status=Status.APPROVED,
        )
        example.set_messages(messages)
        store_new(locked, [example])
        mark_changed(row.dataset)
        return example, _edit_of_new(example, by, what)


def _edit_of_new(example: Example, by: User, what: str) -> Edit:
    """The edit that added this one example; undoing it moves the example into the trash."""
    edit = Edit.objects.create(dataset=example.dataset, by=by, what=what[:120])
    Change.objects.create(
        edit=edit, example=example, before={"deleted": True}, after={"deleted": False}
    )
    return edit


def build_examples(
    dataset: Dataset,
    rows: Sequence[RowToAdd],
    *,
    by: User | None,
    source: str,
    source_import: Import | None = None,
    status: str = "",
    named: Collection[str] = (),
    compare: bool = True,
) -> list[Example]:
    """Unsaved examples with their splits.

    Without a `status`, rows with an answer are approved and the others pending. `named` are the
    splits that the whole file names, of which `rows` may be a part. `compare` keeps near-duplicates
    in one split; it is only a waste of time where too many rows follow.
    """
    by_answer = {True: Status.APPROVED.value, False: Status.PENDING.value}
    examples = []
    for row in rows:
        example = Example(
            dataset=dataset,
            source=source[:200],
            changed_by=by,
            source_import=source_import,
            key=row.get("key", "")[:200],
            group=row.get("group", "")[:64],
            rejected=row.get("rejected", ""),
        )
        example.set_messages(row["messages"])
        example.tools = row.get("tools") or []
        example.parallel_tool_calls = row.get("parallel_tool_calls")
        example.status = status or by_answer[bool(example.answer.strip())]
        examples.append(example)
    new_rows = [
        splits.NewRow(
            example.prompt_hash,
            near_duplicates.question(example.messages),
            given=row.get("split") or "",
            group=example.group,
            label=label_of(example.answer),
        )
        for example, row in zip(examples, rows, strict=True)
    ]
    assign(dataset, new_rows, named=named, compare=compare)
    for example, new_row in zip(examples, new_rows, strict=True):
        example.split = new_row.split
    return examples


def store_new(locked: Dataset, examples: list[Example]) -> None:
    """Number and store them; `locked` is the dataset's row, held by this transaction."""
    for number, example in enumerate(examples, locked.last_number + 1):
        example.number = number
    if len(examples) == 1:
        examples[0].save()
    else:
        bulk_sql.insert(examples)
    locked.last_number += len(examples)
    Dataset.objects.filter(pk=locked.pk).update(last_number=locked.last_number)
