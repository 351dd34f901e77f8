"""Saves the answer to a row, and changes the status of a row.

A row may need two independent answers (`queues.needs_two_answers`). They are stored as labels, and
the second one decides the status of the row.
"""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Dataset, Edit, Example, Status
from finetune_app.datasets.services.editing import (
    StaleExample,
    change_many,
    naming_lost_thought,
    validate_messages,
)
from finetune_app.datasets.services.locking import lock_example
from finetune_app.datasets.text import last_content, with_answer
from finetune_app.labelling.agreement import agree
from finetune_app.labelling.queues import needs_two_answers

MAX_EDITS_READ = 30  # to find the last one that changed a single row


def answer_row(
    *, example: Example, by: User, text: str, seen: datetime | None, done: bool = True
) -> Edit | None:
    """Save an answer and approve the row; with done=False the row becomes a draft.

    `seen` is the row's `changed_at` when the user opened it. Returns None when nothing changes.
    Raises StaleExample when the row has changed since, PlainError for an answer that is not valid.
    """
    if done and not text.strip():
        raise PlainError(_("There is no answer yet. Write one, or set the row aside."), status=422)
    with transaction.atomic():
        row = lock_example(example)
        messages = with_answer(row.messages, text)
        validate_messages(messages)
        if needs_two_answers(row):
            if not done:
                raise PlainError(
                    _(
                        "Two people answer this row, so a draft of yours is kept for "
                        "you alone: it is saved as you type."
                    ),
                    status=422,
                )
            edit = _save_label(row, by, text)
        else:
            if seen is not None and row.changed_at != seen:
                raise StaleExample(row)
            fields = {
                "messages": messages,
                "status": str(Status.APPROVED if done else Status.DRAFT),
            }
            what = _("Answered %s") if done else _("Kept %s as a draft")
            edit = change_row(row, by, what % row, fields)
        row.drafts.filter(by=by).delete()
    return edit


def _save_label(row: Example, by: User, text: str) -> Edit | None:
    """Store one of two answers. The second one approves the row, or makes it disputed."""
    labels = {str(one.by_id): one.answer for one in row.labels.all()} | {str(by.pk): text}
    fields: dict[str, Any] = {"labels": labels}
    if len(labels) < 2:
        return change_row(row, by, _("Answered %s, as the first of two") % row, fields)
    if agree(labels.values()):
        fields |= {"messages": with_answer(row.messages, text), "status": str(Status.APPROVED)}
        return change_row(row, by, _("Answered %s: both agree") % row, fields)
    fields["status"] = str(Status.DISPUTED)
    return change_row(row, by, _("Answered %s: a disagreement") % row, fields)


def change_status(*, example: Example, by: User, status: str, seen: datetime | None) -> Edit | None:
    """Set a row aside, or put it back into the queue; its answer is kept.

    Raises StaleExample when the row has changed since it was `seen`.
    """
    words = {Status.SET_ASIDE: _("Set %s aside"), Status.PENDING: _("Put %s back into the queue")}
    with transaction.atomic():
        row = lock_example(example)
        if seen is not None and row.changed_at != seen:
            raise StaleExample(row)
        fields: dict[str, Any] = {"status": str(status)}
        if status == Status.PENDING and row.labels.exists():
            fields["labels"] = {}  # both users answer again
        return change_row(row, by, words[Status(status)] % row, fields)


def last_edit(dataset: Dataset, by: User) -> Edit | None:
    """The user's newest edit of a single row that is not undone."""
    mine = dataset.edits.filter(by=by, undone_at=None, undoes=None, source_import=None)
    for edit in mine.order_by("-pk")[:MAX_EDITS_READ]:
        if len(edit.changes.all()[:2]) == 1:
            return edit
    return None


def change_row(row: Example, by: User, what: str, fields: dict[str, Any]) -> Edit | None:
    """One edit of one row; None when nothing changes. A worse answer that becomes the answer is
    worse no more. The edit says so where the thought of the old answer is gone with it."""
    answer = last_content(fields.get("messages", []), "assistant").strip()
    if answer and answer == row.rejected.strip():
        fields |= {"rejected": ""}
    what = naming_lost_thought(what, row.messages, fields.get("messages", row.messages))
    edit = change_many(
        dataset=row.dataset, by=by, what=what, examples=[row], fields=lambda _row: fields
    )
    if edit.changes.exists():
        return edit
    edit.delete()
    return None
