"""Stores the rows of a file as examples: in short transactions, hidden until all are stored.

On SQLite a transaction holds the only write lock, and running trainings wait for it to renew their
leases. So rows are stored in batches, under an import that is not done (`ExampleQuerySet.arrived`
leaves them out), and the transaction that ends the job only marks it as done. A job that is
interrupted starts again: the rows it had stored are removed, the examples it had changed are
recognised as unchanged. See docs/decisions/0006-imports-are-staged-in-short-transactions.md.

An import that updates or replaces examples does what its plan has shown, or nothing: each batch is
written only while nobody else has changed the dataset (`DatasetChanged`). One that appends has
shown no plan and overwrites nothing, so others may work on the dataset meanwhile.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.core.chat_messages import Message
from finetune_app.core.files import delete_file, is_local, newest_path, upload
from finetune_app.datasets.models import Dataset, Edit, Example, Import, Status
from finetune_app.datasets.services.adding import ROWS_PER_BATCH, build_examples, store_new
from finetune_app.datasets.services.editing import change_many, set_deleted
from finetune_app.datasets.services.lease_writer import LeaseWriter
from finetune_app.datasets.services.locking import (
    count_label,
    lock,
    mark_changed,
    vacuum_after_commit,
)
from finetune_app.datasets.text import last_answer, last_content, last_thought
from finetune_app.imports.row_matching import TOOL_FIELDS, Match, RowMatcher
from finetune_app.imports.schemas import (
    ChangeCounts,
    ChangePlan,
    ExampleChange,
    ImportRow,
    PlannedChange,
    PromptAndAnswer,
)
from finetune_app.jobs.models import Job

INSERT_BATCH_ROWS = 1_000  # in one transaction, so that others can write in between
UPDATE_BATCH_ROWS = 1_000
VACUUM_ROWS = 5_000
MAX_CHANGES_SHOWN = 3  # in the plan
MAX_SHOWN_CHARACTERS = 2_000
RUNNING_STEPS = (Import.Step.READING, Import.Step.ADDING)
ROWS, REJECTED, CHANGES = "rows.jsonl", "rejected.jsonl", "changes.jsonl"


class DatasetChanged(Exception):
    """Somebody has changed the dataset since the import was planned."""


# ---- The plan ----


def plan_changes(item: Import, splits: list[str]) -> ChangePlan:
    """What a file that updates or replaces the examples would do to them. `splits`: those that it
    names."""
    matcher = RowMatcher(item.dataset)
    none: ChangeCounts = {"new": 0, "changed": 0, "same": 0, "gone": 0}
    plan: ChangePlan = {
        **none,
        "changed_at": _changed_at(item),  # before the rows are read
        "done": none,
        "first": [],
        "splits": splits,
    }
    for matches in matcher.match(_rows_of(item)):
        for match in matches:
            if match.example is None:
                plan["new"] += 1
            elif not match.is_change:
                plan["same"] += 1
            else:
                plan["changed"] += 1
                if len(plan["first"]) < MAX_CHANGES_SHOWN:
                    plan["first"].append(_planned_change(match.example, match))
    if item.mode == Import.Mode.REPLACE:
        plan["gone"] = item.dataset.examples.kept().count() - len(matcher.taken)
    return plan


def _changed_at(item: Import) -> str:
    dataset = Dataset.objects.values_list("changed_at", flat=True)
    return dataset.get(pk=item.dataset_id).isoformat()


def _planned_change(example: Example, match: Match) -> PlannedChange:
    rejected = _next_rejected(example, match.messages, match.row.get("rejected", ""))
    return {
        "number": example.number,
        "before": _prompt_and_answer(example.messages, example.rejected),
        "after": _prompt_and_answer(match.messages, rejected),
    }


def _prompt_and_answer(messages: list[Message], rejected: str) -> PromptAndAnswer:
    return {
        "prompt": last_content(messages, "user")[:MAX_SHOWN_CHARACTERS],
        "thought": last_thought(messages)[:MAX_SHOWN_CHARACTERS],
        "answer": last_answer(messages)[:MAX_SHOWN_CHARACTERS],
        "rejected": rejected[:MAX_SHOWN_CHARACTERS],
    }


# ---- Storing ----


def stage_rows(item: Import, job: Job, total: int, splits: Collection[str]) -> None:
    """Store the new rows, hidden, and make the changes. May be repeated from the start.

    `splits` are those that the file names: a batch of its rows does not tell whether others name
    validation rows, or any split at all.

    Raises LeaseLost when the import was cancelled or another worker has the job, and DatasetChanged
    when a plan is out of date: call `services.revert_import` then.
    """
    running = Import.objects.filter(pk=item.pk, step__in=RUNNING_STEPS)
    message = _("Adding the rows")
    writer = LeaseWriter(job, total, message, lambda: running.select_for_update().exists())
    delete_staged_rows(item)
    if item.mode == Import.Mode.APPEND:
        _insert(item, _rows_of(item), writer, splits)
        return
    with _batch(item, writer):
        pass  # an outdated plan is noticed before anything is written
    matcher = RowMatcher(item.dataset)
    changes = _folder_of(item) / CHANGES
    with changes.open("w", encoding="utf-8") as file:
        _insert(item, _new_rows(matcher, item, file), writer, splits)
    edit = _edit_of(item)
    _change(item, edit, _read_lines(changes), writer)
    if item.mode == Import.Mode.REPLACE:
        _trash_missing(item, edit, matcher.taken, writer)


@contextmanager
def _batch(item: Import, writer: LeaseWriter, rows: int = 0) -> Iterator[Dataset]:
    """A transaction with the lock of the dataset. With a plan, it raises DatasetChanged unless all
    changes since the plan are the import's own."""
    with transaction.atomic():
        writer.check(rows)
        locked = lock(item.dataset)
        if item.plan and item.plan.get("changed_at") != locked.changed_at.isoformat():
            raise DatasetChanged  # also where an older release made the plan
        yield locked
        if item.plan:
            item.plan["changed_at"] = _changed_at(item)
            item.save(update_fields=["plan"])
    writer.pause()


def _new_rows(matcher: RowMatcher, item: Import, changes: TextIO) -> Iterator[ImportRow]:
    """The rows that match no example. Those that change one are written into the file."""
    for matches in matcher.match(_rows_of(item)):
        for match in matches:
            if match.example is None:
                yield match.row
            elif match.is_change or match.sets_key:
                change: ExampleChange = {"pk": match.example.pk, "key": match.key}
                if match.is_change:
                    change["messages"] = match.messages
                    change["rejected"] = match.row.get("rejected", "")
                    change.update(match.tools)  # type: ignore[typeddict-item]
                changes.write(json.dumps(change, ensure_ascii=False) + "\n")


def _insert(
    item: Import, rows: Iterator[ImportRow], writer: LeaseWriter, splits: Collection[str]
) -> None:
    dataset = item.dataset
    build = partial(
        build_examples,
        dataset,
        by=item.by,
        source=item.file_name,
        source_import=item,
        named=splits,
        compare=writer.total <= ROWS_PER_BATCH,
    )
    while window := list(islice(rows, ROWS_PER_BATCH)):
        last_number = Dataset.objects.get(pk=dataset.pk).last_number
        examples = build(window)
        for start in range(0, len(examples), INSERT_BATCH_ROWS):
            batch = examples[start : start + INSERT_BATCH_ROWS]
            with _batch(item, writer, len(batch)) as locked:
                if locked.last_number != last_number:  # rows were added since: choose new splits
                    batch = build(window[start : start + INSERT_BATCH_ROWS])
                store_new(locked, batch)
                last_number = locked.last_number


def _change(
    item: Import, edit: Edit, changes: Iterable[ExampleChange], writer: LeaseWriter
) -> None:
    changes = iter(changes)
    while batch := list(islice(changes, UPDATE_BATCH_ROWS)):
        with _batch(item, writer, len(batch)):
            item.plan["done"]["changed"] += _change_batch(edit, batch)


def _change_batch(edit: Edit, changes: list[ExampleChange]) -> int:
    """Returns how many examples get more than a key."""
    changed = {change["pk"]: change for change in changes}
    change_many(
        dataset=edit.dataset,
        by=edit.by,
        what="",
        edit=edit,
        examples=list(edit.dataset.examples.filter(pk__in=changed).order_by("number")),
        fields=lambda example: _changed_fields(example, changed[example.pk]),
    )
    return sum("messages" in change for change in changes)


def _changed_fields(example: Example, change: ExampleChange) -> dict[str, Any]:
    """An example that waited for an answer is approved when it gets one."""
    key = {"key": change["key"]} if change["key"] else {}
    if "messages" not in change:
        return key
    messages = change["messages"]
    rejected = _next_rejected(example, messages, change.get("rejected", ""))
    answered = {"status": Status.APPROVED.value} if example.status == Status.PENDING else {}
    tools = {name: change[name] for name in TOOL_FIELDS if name in change}  # type: ignore[literal-required]
    return {"messages": messages, "rejected": rejected} | key | tools | answered


def _next_rejected(example: Example, messages: list[Message], given: str) -> str:
    """The worse answer after the change: a row without one removes none, unless the better answer
    is now the same."""
    rejected = given or example.rejected
    return "" if rejected.strip() == last_answer(messages).strip() else rejected


def _trash_missing(item: Import, edit: Edit, matched: set[int], writer: LeaseWriter) -> None:
    """Move every example that no row matches into the trash, marked with this edit's time."""
    kept = edit.dataset.examples.kept().exclude(source_import=edit.source_import_id).order_by("pk")
    last_pk = 0
    while pks := list(kept.filter(pk__gt=last_pk).values_list("pk", flat=True)[:INSERT_BATCH_ROWS]):
        last_pk = pks[-1]
        missing = [pk for pk in pks if pk not in matched]
        with _batch(item, writer):
            set_deleted(missing, edit, away=True)
            item.plan["done"]["gone"] += len(missing)


# ---- The end ----


def publish_rows(item: Import) -> None:
    """Show the stored rows. Part of the transaction that ends the job."""
    item.rows_kept = item.examples.count()
    item.step = Import.Step.DONE
    if plan := item.plan:
        done, rows = plan["done"], plan["new"] + plan["changed"] + plan["same"]
        done |= {"new": item.rows_kept, "same": rows - item.rows_kept - done["changed"]}
    item.save(update_fields=["step", "rows_kept", "plan"])
    if item.rows_kept:
        _edit_of(item)
    mark_changed(item.dataset)
    if item.rows_kept > VACUUM_ROWS:
        vacuum_after_commit()
    folder = item.folder

    def delete_working_files() -> None:
        for name in (ROWS, CHANGES):
            delete_file(f"{folder}/{name}")

    transaction.on_commit(delete_working_files)


def _edit_of(item: Import) -> Edit:
    """The edit by which the import can be undone; the same one when the job is repeated."""
    found = Edit.objects.filter(source_import=item, undone_at=None).order_by("pk").first()
    return found or Edit.objects.create(
        dataset=item.dataset, by=item.by, what=_edit_label(item)[:120], source_import=item
    )


def _edit_label(item: Import) -> str:
    words = {"examples": count_label(item.rows_kept), "file": item.file_name}
    if item.mode == Import.Mode.REPLACE:
        return _("Replaced all with %(file)s") % words
    if item.mode == Import.Mode.MERGE:
        return _("Updated from %(file)s") % words
    return _("Added %(examples)s from %(file)s") % words


def delete_staged_rows(item: Import, writer: LeaseWriter | None = None) -> None:
    """Delete the rows of an import that is not done. They are hidden, and nothing refers to them.

    Their numbers are free again where nothing was numbered after them. The number of any other
    example stays its own, also when that example is gone: versions and looks refer to it.

    With a `writer`, the lease of its job is renewed in every transaction.
    """
    staged = Example.objects.filter(source_import=item).exclude(
        source_import__step=Import.Step.DONE
    )
    newest = staged.order_by("-pk").values_list("pk", "number")
    while rows := dict(newest[:INSERT_BATCH_ROWS]):
        with transaction.atomic():
            if writer:
                writer.check(len(rows))
            last_number = lock(item.dataset).last_number
            batch = item.dataset.examples.filter(
                pk__range=(min(rows), max(rows)), source_import=item
            )
            batch._raw_delete(batch.db)
            numbers = set(rows.values())
            while last_number in numbers:
                last_number -= 1
            Dataset.objects.filter(pk=item.dataset_id).update(last_number=last_number)
        if writer:
            writer.pause()


# ---- Files of the import ----


def publish_file(item: Import, name: str) -> None:
    """Copy a file that was read from the upload to the store: another host may be asked for it."""
    if not is_local():
        upload(f"{item.folder}/{name}")


def fetch_rows(item: Import) -> None:
    """The rows of a plan that another host may have made."""
    newest_path(f"{item.folder}/{ROWS}")


def _folder_of(item: Import) -> Path:
    return Path(settings.DATA_DIR) / item.folder


def _rows_of(item: Import) -> Iterator[ImportRow]:
    return _read_lines(_folder_of(item) / ROWS)


def _read_lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
