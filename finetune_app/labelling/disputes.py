"""Rows that two people answered differently: both answers, and settling the disagreement."""

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Edit, Example, Label, Status
from finetune_app.datasets.services.editing import StaleExample, validate_messages
from finetune_app.datasets.services.locking import lock_example
from finetune_app.datasets.text import with_answer
from finetune_app.labelling.answers import change_row


def answers_of(example: Example) -> list[Label]:
    """The answers that people gave independently, the oldest first."""
    return list(example.labels.select_related("by").order_by("at", "pk"))


def settle_dispute(*, example: Example, by: User, text: str, seen: datetime | None) -> Edit | None:
    """Approve a disputed row with this answer. The labels stay, to measure agreement.

    Raises StaleExample if the row is not disputed anymore or has changed, PlainError without an
    answer.
    """
    if not text.strip():
        raise PlainError(_("Choose one of the two answers, or write a third."), status=422)
    with transaction.atomic():
        row = lock_example(example)
        if row.status != Status.DISPUTED or (seen is not None and row.changed_at != seen):
            raise StaleExample(row)
        messages = with_answer(row.messages, text)
        validate_messages(messages)
        fields = {"messages": messages, "status": str(Status.APPROVED)}
        edit = change_row(row, by, _("Settled %s") % row, fields)
        row.drafts.filter(by=by).delete()
    return edit
