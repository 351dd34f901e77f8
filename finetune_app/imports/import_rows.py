"""From rows.jsonl to examples: in short transactions, hidden until all of them are here.

A job's last transaction holds the one write lock of SQLite; others wait for it, the leases of
running trainings among them. So rows are stored in batches beforehand, under an import that is
still under way (ExampleQuerySet.arrived leaves them out), and the last transaction only says
that it is done. A worker that is killed begins anew: what it had stored is removed first, what
it had changed is recognised. See docs/decisions/0006.
"""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.core import bulk_sql
from finetune_app.core.files import local_path, publish_folder
from finetune_app.datasets.models import Dataset, Edit, Example, Import, Status
from finetune_app.datasets.services.adding import AT_ONCE, made_of, store_new
from finetune_app.datasets.services.editing import change_many, stamp
from finetune_app.datasets.services.lease_writer import LeaseWriter
from finetune_app.datasets.services.locking import count_label, lock, mark_changed
from finetune_app.datasets.text import last_said
from finetune_app.imports.row_matching import RowMatcher
from finetune_app.jobs.models import Job

INSERT_BATCH_ROWS = 1_000  # rows in one transaction: the index for search takes most of its time
UPDATE_BATCH_ROWS = 1_000
MAX_CHANGES_SHOWN = 3  # changed rows that the plan shows
RUNNING_STEPS = (Import.Step.READING, Import.Step.ADDING)


def lease_writer_for(item: Import, job: Job, total: int) -> LeaseWriter:
    """The right to write for an import, for as long as nobody cancels it."""
    wanted = Import.objects.filter(pk=item.pk, step__in=RUNNING_STEPS)
    return LeaseWriter(
        job, total, _("Adding the rows"), lambda: wanted.select_for_update().exists()
    )


# ---- What would change ----


def plan_changes(item: Import) -> dict[str, Any]:
    """{"new", "changed", "same", "gone", "first"} of a file that updates or replaces."""
    matcher = RowMatcher(item.dataset)
    counts = {"new": 0, "changed": 0, "same": 0}
    first: list[dict[str, Any]] = []
    for matches in matcher.match(rows_of(item)):
        for one in matches:
            kind = "new" if one.example is None else "changed" if one.is_change else "same"
            counts[kind] += 1
            if kind == "changed" and one.example and len(first) < MAX_CHANGES_SHOWN:
                first.append(
                    {
                        "number": one.example.number,
                        "before": _shown(one.example.messages),
                        "after": _shown(one.row["messages"]),
                    }
                )
    here = item.dataset.examples.kept().count()
    gone = here - len(matcher.taken) if item.mode == Import.Mode.REPLACE else 0
    return {**counts, "gone": gone, "first": first}


def _shown(messages: list[dict[str, str]]) -> dict[str, str]:
    return {
        "prompt": last_said(messages, "user")[:2_000],
        "answer": last_said(messages, "assistant")[:2_000],
    }


# ---- Bringing them ----


def stage_rows(item: Import, job: Job, total: int) -> None:
    """Store the new rows, out of sight, and make the changes. May be repeated from the start."""
    hold = lease_writer_for(item, job, total)
    delete_staged_rows(item)
    if item.mode == Import.Mode.APPEND:
        _store(item, rows_of(item), hold)
        return
    matcher = RowMatcher(item.dataset)
    changes = folder_of(item) / "changes.jsonl"
    with changes.open("w", encoding="utf-8") as file:
        _store(item, _new_ones(matcher, item, file), hold)
    edit = _edit_of(item)
    _change(edit, _lines(changes), hold)
    if item.mode == Import.Mode.REPLACE:
        _trash_missing(edit, matcher.taken, hold)


def _new_ones(matcher: RowMatcher, item: Import, changes: Any) -> Iterator[dict[str, Any]]:
    """The rows that stand for no example; those that change one go into the file."""
    for matches in matcher.match(rows_of(item)):
        for one in matches:
            if one.example is None:
                yield one.row
            elif one.is_change or one.sets_key:
                entry = {"pk": one.example.pk, "key": one.row.get("key", "")[:200]}
                if one.is_change:
                    entry["messages"] = one.row["messages"]
                changes.write(json.dumps(entry, ensure_ascii=False) + "\n")


def _store(item: Import, rows: Iterator[dict[str, Any]], hold: LeaseWriter) -> None:
    dataset = item.dataset
    made = partial(
        made_of,
        dataset,
        by=item.by,
        source=item.file_name,
        source_import=item,
        compare=hold.total <= AT_ONCE,
    )
    while some := list(islice(rows, AT_ONCE)):
        seen = Dataset.objects.get(pk=dataset.pk).last_number
        examples = made(some)
        for start in range(0, len(examples), INSERT_BATCH_ROWS):
            batch = examples[start : start + INSERT_BATCH_ROWS]
            with transaction.atomic():
                hold.check(len(batch))
                locked = lock(dataset)
                if locked.last_number != seen:  # somebody added rows since: their sides count
                    batch = made(some[start : start + INSERT_BATCH_ROWS])
                store_new(locked, batch)
                seen = locked.last_number
            hold.breathe()


def _edit_of(item: Import) -> Edit:
    """The change that this import is; the same one when it is tried again."""
    found = Edit.objects.filter(source_import=item, undone_at=None).order_by("pk").first()
    return found or Edit.objects.create(
        dataset=item.dataset, by=item.by, what=_what(item)[:120], source_import=item
    )


def _change(edit: Edit, entries: Iterable[dict[str, Any]], hold: LeaseWriter) -> None:
    entries = iter(entries)
    while some := list(islice(entries, UPDATE_BATCH_ROWS)):
        with transaction.atomic():
            hold.check(len(some))
            _change_some(edit, some)
        hold.breathe()


def _change_some(edit: Edit, entries: list[dict[str, Any]]) -> None:
    texts = {entry["pk"]: entry for entry in entries if "messages" in entry}
    change_many(
        dataset=edit.dataset,
        by=edit.by,
        what="",
        edit=edit,
        examples=list(edit.dataset.examples.filter(pk__in=texts).order_by("number")),
        fields=lambda example: _wanted(example, texts[example.pk]),
    )
    named = [Example(pk=entry["pk"], key=entry["key"]) for entry in entries if entry["key"]]
    bulk_sql.update(named, ["key"])


def _wanted(example: Example, entry: dict[str, Any]) -> dict[str, Any]:
    """An example that waited for an answer and gets one is as good as the file's others."""
    answered = {"status": Status.APPROVED.value} if example.status == Status.PENDING else {}
    return {"messages": entry["messages"]} | answered


def _trash_missing(edit: Edit, taken: set[int], hold: LeaseWriter) -> None:
    """Everything that the file does not have goes into the trash, with this edit's time on it."""
    kept = edit.dataset.examples.kept().exclude(source_import=edit.source_import_id).order_by("pk")
    at = 0
    while some := list(kept.filter(pk__gt=at).values_list("pk", flat=True)[:INSERT_BATCH_ROWS]):
        at = some[-1]
        gone = [pk for pk in some if pk not in taken]
        with transaction.atomic():
            hold.check()
            stamp(gone, edit, away=True)
        hold.breathe()


def publish_rows(item: Import) -> None:
    """All is here: show it. Part of the transaction that ends the job."""
    item.rows_kept = item.examples.count()
    item.step = Import.Step.DONE
    item.save(update_fields=["step", "rows_kept"])
    if item.rows_kept:
        _edit_of(item)
    mark_changed(item.dataset)
    folder, name = folder_of(item), item.folder

    def tidy() -> None:
        for done in ("rows.jsonl", "changes.jsonl"):
            (folder / done).unlink(missing_ok=True)
        publish_folder(name)

    transaction.on_commit(tidy)


def _what(item: Import) -> str:
    words = {"examples": count_label(item.rows_kept), "file": item.file_name}
    if item.mode == Import.Mode.REPLACE:
        return _("Replaced all with %(file)s") % words
    if item.mode == Import.Mode.MERGE:
        return _("Updated from %(file)s") % words
    return _("Added %(examples)s from %(file)s") % words


# ---- When it does not come to that ----


def delete_staged_rows(item: Import, hold: LeaseWriter | None = None) -> None:
    """Rows of an import that did not end well. They have never been seen; nothing refers to
    them. `hold` is a job's, where they are many."""
    staged = Example.objects.filter(source_import=item).exclude(
        source_import__step=Import.Step.DONE
    )
    while some := list(staged.order_by("pk").values_list("pk", flat=True)[:INSERT_BATCH_ROWS]):
        with transaction.atomic():
            if hold:
                hold.check(len(some))
            last = lock(item.dataset).last_number
            doomed = item.dataset.examples.filter(pk__range=(some[0], some[-1]), source_import=item)
            doomed._raw_delete(doomed.db)
            highest = item.dataset.examples.order_by("-number").values_list("number", flat=True)
            number = highest.first() or 0
            if number < last:
                Dataset.objects.filter(pk=item.dataset_id).update(last_number=number)
        if hold:
            hold.breathe()


# ---- Its files ----


def folder_of(item: Import) -> Path:
    return local_path(item.stored_name).parent


def rows_of(item: Import) -> Iterator[dict[str, Any]]:
    return _lines(folder_of(item) / "rows.jsonl")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
