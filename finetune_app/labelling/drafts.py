"""Drafts: what a user has typed into a row and not saved yet, stored while they type.

A suggestion that is accepted into the text box replaces the text. The old text is stored in the
draft, so that the two can be swapped again.
"""

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Dataset, Example, Status
from finetune_app.datasets.services.editing import StaleExample, validate_messages
from finetune_app.datasets.services.locking import lock_example
from finetune_app.datasets.text import with_answer
from finetune_app.labelling import suggestions
from finetune_app.labelling.models import Draft
from finetune_app.labelling.queues import needs_two_answers


def save_draft(*, example: Example, by: User, text: str, seen: datetime | None) -> bool:
    """Store the text. Returns False, and stores nothing, when the user has saved the row since it
    was `seen`: a late request must not restore an old text."""
    with transaction.atomic():
        row = lock_example(example)
        mine = row.drafts.filter(by=by)
        if _is_redundant(row, by, text) and not mine.exclude(replaced=None).exists():
            mine.delete()
            return True
        if row.changed_by_id == by.pk and row.changed_at != seen:
            return False
        messages = with_answer(row.messages, text)
        validate_messages(messages)
        Draft.objects.update_or_create(example=row, by=by, defaults={"messages": messages})
    return True


def delete_draft(*, example: Example, by: User) -> None:
    example.drafts.filter(by=by).delete()


def visible_draft(example: Example, by: User) -> Draft | None:
    """The user's draft, unless it equals the saved answer."""
    found: Draft | None = example.drafts.filter(by=by).first()
    return None if found is None or _is_redundant(example, by, found.text) else found


def saved_answer(example: Example, by: User) -> str:
    """The saved answer that this user may see: of a row that two users answer, their own alone."""
    label = example.labels.filter(by=by).first()
    mine = label.answer if label else ""
    if needs_two_answers(example) or example.status == Status.DISPUTED:
        return mine
    return example.answer or mine


def accept_suggestion(*, example: Example, by: User, text: str, seen: datetime | None) -> Draft:
    """Replace the `text` in the box by the suggestion; the row itself is not changed.

    Raises StaleExample when the row has changed since it was `seen`, PlainError when there is no
    suggestion any more.
    """
    with transaction.atomic():
        row = lock_example(example)
        if seen is not None and row.changed_at != seen:
            raise StaleExample(row)
        suggestion = suggestions.visible_suggestion(row)
        if suggestion is None:
            raise PlainError(_("This suggestion is gone. What you typed is still here."))
        messages = with_answer(row.messages, suggestion.answer)
        return Draft.objects.update_or_create(
            example=row, by=by, defaults={"messages": messages, "replaced": text, "took": True}
        )[0]


def last_accepted(dataset: Dataset, by: User) -> Draft | None:
    """The user's newest draft in which a suggestion has replaced the text."""
    accepted = Draft.objects.filter(by=by, took=True, example__dataset=dataset)
    return accepted.order_by("-at").first()


def swap_texts(*, draft: Draft) -> Draft:
    """Swap the accepted suggestion and the text it has replaced; again to undo it.

    Raises PlainError when the draft no longer exists.
    """
    with transaction.atomic():
        row = lock_example(draft.example)
        one: Draft | None = row.drafts.filter(pk=draft.pk).first()
        if one is None:
            raise PlainError(_("What you typed there has been saved or discarded."), status=409)
        now = one.text
        one.messages = with_answer(row.messages, one.replaced or "")
        one.replaced, one.took = now, not one.took
        one.save()
    return one


def _is_redundant(row: Example, by: User, text: str) -> bool:
    return not text.strip() or text == saved_answer(row, by)
