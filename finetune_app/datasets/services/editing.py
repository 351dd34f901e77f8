"""Changing examples. Every change is an Edit that can be undone (undoing.py)."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.models import User
from finetune_app.core import bulk_sql
from finetune_app.core.chat_messages import Message
from finetune_app.core.errors import PlainError
from finetune_app.core.tool_calls import has_answer
from finetune_app.datasets.models import Change, Dataset, Edit, Example, Label, Status
from finetune_app.datasets.services.locking import lock, mark_changed
from finetune_app.datasets.text import last_thought
from finetune_app.goals.models import Goal

MAX_QUERY_KEYS = 500  # databases limit the number of variables of one query
COLUMNS = {
    "messages": ["messages", "prompt", "answer", "prompt_hash"],
    "rejected": ["rejected"],
    "key": ["key"],
    "tools": ["tools"],
    "parallel_tool_calls": ["parallel_tool_calls"],
    "status": ["status"],
    "split": ["split"],
    "deleted": ["deleted_at"],
    "assigned_to": ["assigned_to"],
    "labels": [],
}
MOST_CHARACTERS = 1_000_000  # of one message


class StaleExample(Exception):
    """Somebody else has changed the example since this person opened it."""

    def __init__(self, example: Example) -> None:
        super().__init__(str(example))
        self.example = example


def dataset_of(goal: Goal) -> Dataset:
    """The goal's dataset, created on first use."""
    dataset, _created = Dataset.objects.get_or_create(goal=goal)
    dataset.goal = goal  # not to be read again
    return dataset


def save_example(
    *,
    example: Example,
    by: User,
    messages: list[Message],
    seen: datetime | None,
    rejected: str | None = None,
) -> Edit | None:
    """Save an edited conversation, and its worse answer unless that is None.

    `seen` is the `changed_at` that the person started from. Returns None when nothing changed.
    Raises StaleExample when somebody else changed the row, and PlainError when the worse answer is
    the same as the better one.
    """
    validate_messages(messages)
    with transaction.atomic():
        lock(example.dataset)
        current = Example.objects.select_for_update().get(pk=example.pk)
        if seen is not None and current.changed_at != seen:
            raise StaleExample(current)
        rejected = validated_rejected(current.rejected if rejected is None else rejected, messages)
        if (current.messages, current.rejected) == (messages, rejected):
            return None
        fields: dict[str, Any] = {"messages": messages, "rejected": rejected}
        if current.status == Status.APPROVED and not has_answer(messages[-1]):
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
    edit: Edit | None = None,
) -> Edit:
    """One Edit over some examples: a new one, or more of `edit` (a large one, in parts).

    `fields` returns for each example the new values of messages, rejected, key, tools,
    parallel_tool_calls, status, split, assigned_to (a user's key), deleted or labels. Of `examples`
    only the primary keys matter: the rows are read again with the dataset locked, so concurrent
    changes are kept.
    """
    now = timezone.now()
    changes = []
    with transaction.atomic():
        lock(dataset)
        edit = edit or Edit.objects.create(dataset=dataset, what=what[:120], by=by)
        for example in _locked_rows(dataset, examples):
            wanted = fields(example)
            current = state_of(example, wanted)
            after = {k: v for k, v in wanted.items() if current[k] != v}
            if not after:
                continue
            before = {k: current[k] for k in after}
            changes.append(Change(edit=edit, example=example, before=before, after=after))
            apply(example, after, by, now)
        store(changes)
        bulk_sql.insert(changes)
        edit.count += len(changes)
        edit.save(update_fields=["count"])
        mark_changed(dataset)
    return edit


def naming_lost_thought(what: str, before: list[Message], after: list[Message]) -> str:
    """The name of an edit, which says so where the thought of the old answer goes with it."""
    if not last_thought(before) or last_thought(after):
        return what
    return _("%(what)s, without the thought of the old answer") % {"what": what}


def set_deleted(pks: list[int], edit: Edit, *, away: bool) -> None:
    """Move rows into the trash or out of it, as part of `edit`. They get the time of the edit, so
    a later change of a row is recognised."""
    for start in range(0, len(pks), MAX_QUERY_KEYS):
        Example.objects.filter(pk__in=pks[start : start + MAX_QUERY_KEYS]).update(
            deleted_at=edit.at if away else None, changed_at=edit.at, changed_by=edit.by
        )
    mark_changed(edit.dataset)


READ: dict[str, Callable[[Example], Any]] = {
    "messages": lambda example: example.messages,
    "rejected": lambda example: example.rejected,
    "key": lambda example: example.key,
    "tools": lambda example: example.tools,
    "parallel_tool_calls": lambda example: example.parallel_tool_calls,
    "status": lambda example: str(example.status),
    "split": lambda example: str(example.split),
    "assigned_to": lambda example: example.assigned_to_id,
    "deleted": lambda example: example.deleted_at is not None,
    "labels": lambda example: {str(one.by_id): one.answer for one in example.labels.all()},
}


def state_of(example: Example, keys: Iterable[str]) -> dict[str, Any]:
    """The current values of what an edit may change."""
    return {key: READ[key](example) for key in keys}


def apply(example: Example, after: dict[str, Any], by: User | None, now: datetime) -> None:
    if "messages" in after:
        example.set_messages(after["messages"])
    if "rejected" in after:
        example.rejected = after["rejected"]
    if "key" in after:
        example.key = after["key"]
    if "tools" in after:
        example.tools = after["tools"]
    if "parallel_tool_calls" in after:
        example.parallel_tool_calls = after["parallel_tool_calls"]
    if "status" in after:
        example.status = after["status"]
    if "split" in after:
        example.split = after["split"]
    if "assigned_to" in after:
        example.assigned_to_id = after["assigned_to"]
    if "deleted" in after:
        example.deleted_at = now if after["deleted"] else None
    if after.keys() != {"key"}:  # which nobody sees or learns from
        example.changed_by, example.changed_at = by, now


def _locked_rows(dataset: Dataset, examples: list[Example]) -> Iterator[Example]:
    """The current rows, locked until the transaction ends."""
    wanted = [example.pk for example in examples]
    for start in range(0, len(wanted), MAX_QUERY_KEYS):
        rows = dataset.examples.select_for_update().in_bulk(wanted[start : start + MAX_QUERY_KEYS])
        yield from (rows[pk] for pk in wanted[start : start + MAX_QUERY_KEYS] if pk in rows)


def store(changes: list[Change]) -> None:
    names = {"changed_by", "changed_at"}
    for change in changes:
        for field in change.after:
            names.update(COLUMNS[field])
        if "labels" in change.after:
            _set_labels(change.example, change.after["labels"])
    rows = [change.example for change in changes]
    bulk_sql.update(rows, sorted(names))


def _set_labels(example: Example, labels: dict[str, str]) -> None:
    """Labels of users who were deleted are left out."""
    here = {str(pk) for pk in User.objects.filter(pk__in=labels).values_list("pk", flat=True)}
    example.labels.exclude(by__in=[int(pk) for pk in here]).delete()
    known = READ["labels"](example)
    for pk in (pk for pk in here if known.get(pk) != labels[pk]):
        Label.objects.update_or_create(
            example=example, by_id=int(pk), defaults={"answer": labels[pk]}
        )


def validate_messages(messages: list[Message]) -> None:
    for message in messages:
        _validate_text(message["content"])
        _validate_text(message.get("reasoning_content", ""))
    if not any(m["role"] == "user" and m["content"].strip() for m in messages):
        raise PlainError(_("The prompt is empty. Write what somebody would ask."))


def validated_rejected(text: str, messages: list[Message]) -> str:
    """The worse answer to store: "" for a blank one. Raises PlainError."""
    _validate_text(text)
    if not text.strip():
        return ""
    if text.strip() == messages[-1]["content"].strip():
        raise PlainError(
            _(
                "The better and the worse answer are the same. Change one of them, or empty the "
                "worse one."
            )
        )
    return text


def _validate_text(text: str) -> None:
    if len(text) > MOST_CHARACTERS:
        raise PlainError(
            ngettext(
                "A message may have at most one character.",
                "A message may have at most %(most)s characters.",
                MOST_CHARACTERS,
            )
            % {"most": f"{MOST_CHARACTERS:,}"}
        )
    if "\x00" in text:
        raise PlainError(_("The text contains a zero byte, which cannot be stored."))
