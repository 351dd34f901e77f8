"""Adding and changing examples. Every change is an Edit, and every Edit can be undone."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.datasets import similar, splits
from finetune_app.datasets.models import Change, Dataset, Edit, Example, Import, Status
from finetune_app.datasets.text import normalise
from finetune_app.goals.models import Goal

BATCH = 1_000
SOME = 500  # keys in one query: databases take only so many variables
COLUMNS = {
    "messages": ["messages", "prompt", "answer", "prompt_hash"],
    "status": ["status"], "split": ["split"], "deleted": ["deleted_at"],
}  # fmt: skip
MOST_CHARACTERS = 1_000_000  # of one message


class Stale(Exception):
    """Somebody else changed the example since this person opened it."""

    def __init__(self, example: Example) -> None:
        super().__init__(str(example))
        self.example = example


def dataset_of(goal: Goal) -> Dataset:
    """The goal's dataset; made the first time it is asked for."""
    return Dataset.objects.get_or_create(goal=goal)[0]


# ---- Adding ----


def add_rows(
    *,
    dataset: Dataset,
    by: User | None,
    rows: Iterable[dict[str, Any]],
    source: str = "",
    brought_by: Import | None = None,
    status: str = Status.APPROVED,
) -> int:
    """Add {"messages": [...], "split": "" or one of the three} rows; returns how many.

    All or nothing, in batches. Where a row names no split, it gets its sticky one.
    """
    rows = iter(rows)
    added = 0
    with transaction.atomic():
        number = _lock(dataset).last_number
        small = list(islice(rows, similar.MOST_ROWS))
        while small:
            examples = [
                _new(dataset, row, by=by, source=source, brought_by=brought_by, status=status)
                for row in small
            ]
            _give_splits(dataset, examples, [row.get("split", "") for row in small])
            for example in examples:
                number += 1
                example.number = number
            Example.objects.bulk_create(examples, batch_size=BATCH)
            added += len(examples)
            small = list(islice(rows, similar.MOST_ROWS))
        _touch(dataset, last_number=number)
    return added


def add_example(
    *, dataset: Dataset, by: User, messages: list[dict[str, str]], split: str = ""
) -> tuple[Example, Edit]:
    """One example written by hand: approved when it has an answer, else a draft."""
    _sensible(messages)
    done = bool(messages[-1]["content"].strip())
    with transaction.atomic():
        add_rows(
            dataset=dataset,
            by=by,
            rows=[{"messages": messages, "split": split}],
            source=_("written here"),
            status=Status.APPROVED if done else Status.DRAFT,
        )
        example = dataset.examples.order_by("-number")[:1].get()
        edit = Edit.objects.create(dataset=dataset, by=by, what=_("Added %s") % example)
        Change.objects.create(
            edit=edit, example=example, before={"deleted": True}, after={"deleted": False}
        )
    return example, edit


def _new(
    dataset: Dataset,
    row: dict[str, Any],
    *,
    by: User | None,
    source: str,
    brought_by: Import | None,
    status: str,
) -> Example:
    example = Example(
        dataset=dataset, status=status, source=source[:200], changed_by=by, brought_by=brought_by
    )
    example.set_messages(row["messages"])
    return example


def _give_splits(dataset: Dataset, examples: list[Example], given: list[str]) -> None:
    newcomers = [
        splits.Newcomer(e.prompt_hash, normalise(e.prompt)[: similar.LONGEST], given=side or "")
        for e, side in zip(examples, given, strict=True)
    ]
    splits.assign(dataset, newcomers)
    for example, newcomer in zip(examples, newcomers, strict=True):
        example.split = newcomer.split


# ---- Changing ----


def save_example(
    *, example: Example, by: User, messages: list[dict[str, str]], seen: datetime | None
) -> Edit | None:
    """Keep an edited conversation. `seen` is the `changed_at` the person started from.

    Raises Stale when the row moved on meanwhile. None when nothing changed.
    """
    _sensible(messages)
    with transaction.atomic():
        current = Example.objects.select_for_update().get(pk=example.pk)
        if seen is not None and current.changed_at != seen:
            raise Stale(current)
        if current.messages == messages:
            return None
        fields: dict[str, Any] = {"messages": messages}
        if current.status == Status.APPROVED and not messages[-1]["content"].strip():
            fields["status"] = Status.DRAFT
        return change_many(
            dataset=current.dataset,
            by=by,
            what=_("Changed %s") % current,
            examples=[current],
            fields=lambda _example: fields,
        )


def change_many(
    *,
    dataset: Dataset,
    by: User | None,
    what: str,
    examples: list[Example],
    fields: Callable[[Example], dict[str, Any]],
) -> Edit:
    """One Edit over some examples. `fields` says for each what becomes of messages, status,
    split or deleted. What somebody else changed since `examples` were read is kept."""
    now = timezone.now()
    changes = []
    with transaction.atomic():
        edit = Edit.objects.create(dataset=dataset, what=what[:120], by=by)
        for example in _as_they_are(dataset, examples):
            after = {k: v for k, v in fields(example).items() if state_of(example)[k] != v}
            if not after:
                continue
            before = {k: v for k, v in state_of(example).items() if k in after}
            changes.append(Change(edit=edit, example=example, before=before, after=after))
            _apply(example, after, by, now)
        _store(changes)
        Change.objects.bulk_create(changes, batch_size=BATCH)
        _touch(dataset)
    return edit


def undo(*, edit: Edit, by: User) -> tuple[Edit, int]:
    """Put back what the edit changed; itself an Edit, so it can be undone too.

    Examples that somebody changed since are left alone: returns how many.
    """
    with transaction.atomic():
        once = Edit.objects.filter(pk=edit.pk, undone_at=None).update(undone_at=timezone.now())
        if not once:
            raise PlainError(_("This change is undone already."), status=409)
        if edit.brought_id:
            return _undo_import(edit, by), 0
        wanted, left = {}, 0
        for change in edit.changes.select_related("example"):
            current = state_of(change.example)
            if all(current[key] == value for key, value in change.after.items()):
                wanted[change.example_id] = (change.example, change.before)
            else:
                left += 1
        back = change_many(
            dataset=edit.dataset,
            by=by,
            what=_("Undid: %s") % edit.what,
            examples=[example for example, _before in wanted.values()],
            fields=lambda example: wanted[example.pk][1],
        )
    return back, left


def _undo_import(edit: Edit, by: User) -> Edit:
    examples = list(edit.dataset.examples.kept().filter(brought_by=edit.brought_id))
    return change_many(
        dataset=edit.dataset,
        by=by,
        what=_("Undid: %s") % edit.what,
        examples=examples,
        fields=lambda _example: {"deleted": True},
    )


def state_of(example: Example) -> dict[str, Any]:
    """What an Edit may change, as it is now."""
    return {
        "messages": example.messages,
        "status": str(example.status),
        "split": str(example.split),
        "deleted": example.deleted_at is not None,
    }


def _apply(example: Example, after: dict[str, Any], by: User | None, now: datetime) -> None:
    if "messages" in after:
        example.set_messages(after["messages"])
    if "status" in after:
        example.status = after["status"]
    if "split" in after:
        example.split = after["split"]
    if "deleted" in after:
        example.deleted_at = now if after["deleted"] else None
    example.changed_by, example.changed_at = by, now


def _as_they_are(dataset: Dataset, examples: list[Example]) -> Iterator[Example]:
    """The same rows read anew, and held until the transaction ends."""
    wanted = [example.pk for example in examples]
    for start in range(0, len(wanted), SOME):
        rows = dataset.examples.select_for_update().in_bulk(wanted[start : start + SOME])
        yield from (rows[pk] for pk in wanted[start : start + SOME] if pk in rows)


def _store(changes: list[Change]) -> None:
    names = {"changed_by", "changed_at"}
    for change in changes:
        for field in change.after:
            names.update(COLUMNS[field])
    rows = [change.example for change in changes]
    Example.objects.bulk_update(rows, sorted(names), batch_size=BATCH // 10)


def _sensible(messages: list[dict[str, str]]) -> None:
    for message in messages:
        if len(message["content"]) > MOST_CHARACTERS:
            raise PlainError(
                ngettext(
                    "A message may have at most one character.",
                    "A message may have at most %(most)s characters.",
                    MOST_CHARACTERS,
                )
                % {"most": f"{MOST_CHARACTERS:,}"}
            )
        if "\x00" in message["content"]:
            raise PlainError(_("The text contains a zero byte, which cannot be kept."))
    if not any(m["role"] == "user" and m["content"].strip() for m in messages):
        raise PlainError(_("The prompt is empty. Write what somebody would ask."))


def _lock(dataset: Dataset) -> Dataset:
    return Dataset.objects.select_for_update().get(pk=dataset.pk)


def _touch(dataset: Dataset, **values: Any) -> None:
    Dataset.objects.filter(pk=dataset.pk).update(changed_at=timezone.now(), **values)


def label(count: int) -> str:
    return ngettext("%(n)s example", "%(n)s examples", count) % {"n": f"{count:,}"}


