"""What a person has typed into a row and not saved yet: kept as they type, for their eyes alone.

A suggestion that they take over replaces their text, and the text is kept beside it, so that
either can be had back.
"""

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Dataset, Draft, Example
from finetune_app.datasets.services import suggestions
from finetune_app.datasets.services.editing import Stale, sensible
from finetune_app.datasets.services.locking import lock_example
from finetune_app.datasets.text import with_answer


def keep(*, example: Example, by: User, text: str, seen: datetime | None) -> bool:
    """Keep what is being typed. False when this person has saved the row since they began, here
    or in another tab: then a late request must not bring an old text back."""
    with transaction.atomic():
        row = lock_example(example)
        mine = row.drafts.filter(by=by)
        if _says_nothing(row, by, text) and not mine.exclude(replaced=None).exists():
            mine.delete()
            return True
        if row.changed_by_id == by.pk and row.changed_at != seen:
            return False
        messages = with_answer(row.messages, text)
        sensible(messages)
        Draft.objects.update_or_create(example=row, by=by, defaults={"messages": messages})
    return True


def drop(*, example: Example, by: User) -> None:
    example.drafts.filter(by=by).delete()


def shown(example: Example, by: User) -> Draft | None:
    """What this person has typed here and not saved."""
    found: Draft | None = example.drafts.filter(by=by).first()
    return None if found is None or _says_nothing(example, by, found.text) else found


def saved(example: Example, by: User) -> str:
    """The answer that stands, as this person may see it."""
    mine = example.labels.filter(by=by).first()
    return mine.answer if mine else example.answer


def take_over(*, example: Example, by: User, text: str, seen: datetime | None) -> Draft:
    """Put what is suggested into the box, in place of this `text`. Nothing is saved by it.

    Raises Stale when the row moved on since it was `seen`, PlainError when nothing is suggested
    any more.
    """
    with transaction.atomic():
        row = lock_example(example)
        if seen is not None and row.changed_at != seen:
            raise Stale(row)
        suggestion = suggestions.shown(row)
        if suggestion is None:
            raise PlainError(_("This suggestion is gone. What you typed is still here."))
        messages = with_answer(row.messages, suggestion.answer)
        return Draft.objects.update_or_create(
            example=row, by=by, defaults={"messages": messages, "replaced": text, "took": True}
        )[0]


def last_taken(dataset: Dataset, by: User) -> Draft | None:
    """The newest of this person's texts in whose place a suggestion stands."""
    taken = Draft.objects.filter(by=by, took=True, example__dataset=dataset)
    return taken.order_by("-at").first()


def swap(*, draft: Draft) -> Draft:
    """Undo the taking over, or do it again: the one text for the other, nothing typed is lost."""
    with transaction.atomic():
        row = lock_example(draft.example)
        one: Draft | None = row.drafts.filter(pk=draft.pk).first()
        if one is None:
            raise PlainError(_("What you typed there is saved or forgotten by now."), status=409)
        now = one.text
        one.messages = with_answer(row.messages, one.replaced or "")
        one.replaced, one.took = now, not one.took
        one.save()
    return one


def _says_nothing(row: Example, by: User, text: str) -> bool:
    return not text.strip() or text == saved(row, by)
