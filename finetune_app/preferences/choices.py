"""A person chooses between two answers: who sees which pair, what a choice makes, and its undo."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Edit, Example, Status
from finetune_app.datasets.services import add_pair_beside, change_many, undo
from finetune_app.datasets.services.editing import naming_lost_thought, validate_messages
from finetune_app.datasets.services.locking import lock, lock_example
from finetune_app.datasets.text import normalise, with_answer
from finetune_app.labelling.queues import needs_two_answers
from finetune_app.preferences.models import AnswerPair, PreferenceRun
from finetune_app.preferences.prompts import fingerprint, may_be_learned

HELD_FOR = timedelta(minutes=5)  # after it was opened; then others may see the pair
MAX_TRIED = 20  # pairs that somebody else may take at the same moment
NEITHER = "neither"
SIDES = ("a", "b")


def next_pair(run: PreferenceRun, user: User, wanted: int | None = None) -> AnswerPair | None:
    """The pair that this person sees next, held for them: `wanted` if it is free, else the one
    that they hold already, else the first one that is free."""
    now = timezone.now()
    free = run.answer_pairs.free_for(user, now)
    mine = free.filter(held_by=user, held_until__gte=now).values_list("pk", flat=True)
    others = free.values_list("pk", flat=True)
    first = [] if wanted is None else [wanted]
    for pk in dict.fromkeys([*first, *mine[:1], *others[:MAX_TRIED]]):
        taken = free.filter(pk=pk).update(held_by=user, held_until=now + HELD_FOR)
        if taken:
            return AnswerPair.objects.select_related("example__dataset").get(pk=pk)
    return None


def choose(*, pair: AnswerPair, by: User, pressed: str, text: str | None = None) -> AnswerPair:
    """Record A, B or neither, and make the training pair at once.

    With `text`, that is the better answer and the pressed one the worse. A second click changes
    nothing. Where the row has changed or moved into the test meanwhile, the pair is put away and
    returned as GONE.

    Raises:
        PlainError: the button is unknown, the text is empty or no other than the answer, or
            somebody else has chosen already.
    """
    if pressed not in (*SIDES, NEITHER):
        raise PlainError(_("Choose A, B, or neither."))
    with transaction.atomic():
        row = lock_example(pair.example)
        pair = AnswerPair.objects.select_for_update(of=("self",)).get(pk=pair.pk)
        if pair.state != AnswerPair.State.READY:
            if pair.decided_by_id not in (by.pk, None):
                raise PlainError(
                    _("Somebody else has chosen here meanwhile. Their choice stands."), status=409
                )
            return pair
        if pair.fingerprint != fingerprint(row.messages) or not may_be_learned(row):
            pair.state = AnswerPair.State.GONE
        elif pressed == NEITHER:
            pair.state = AnswerPair.State.NEITHER
        else:
            pair.edit, pair.made = _make(row, pair, pressed, text, by)
            pair.state = AnswerPair.State.CHOSEN
        pair.decided_by, pair.decided_at = by, timezone.now()
        pair.held_by = pair.held_until = None
        pair.save()
    return pair


def _make(
    row: Example, pair: AnswerPair, pressed: str, text: str | None, by: User
) -> tuple[Edit, Example]:
    """The training pair. A row to do is answered by it; an answered row keeps its answer, and the
    pair is added beside it, unless that answer is the better one."""
    picked = pair.sides[pressed]
    other = pair.sides["b" if pressed == "a" else "a"]
    better, worse = (picked, other) if text is None else (_own(text, picked), picked)
    messages = with_answer(row.messages, better)
    what = _("Chose between two answers to %s") % row
    fields: dict[str, Any] = {}
    if row.status == Status.PENDING and not needs_two_answers(row):
        fields = {"messages": messages, "rejected": worse, "status": str(Status.APPROVED)}
        row.drafts.filter(by=by).delete()
    elif (
        row.status == Status.APPROVED and not row.rejected and row.answer.strip() == better.strip()
    ):
        fields = {"rejected": worse}
    if not fields:
        source = _("chosen between two answers")
        example, edit = add_pair_beside(
            row=row, by=by, messages=messages, rejected=worse, source=source, what=what
        )
        return edit, example
    validate_messages(messages)
    what = naming_lost_thought(what, row.messages, fields.get("messages", row.messages))
    edit = change_many(
        dataset=row.dataset, by=by, what=what, examples=[row], fields=lambda _row: fields
    )
    return edit, row


def _own(text: str, picked: str) -> str:
    """What a person wrote. Raises PlainError."""
    if not text.strip():
        raise PlainError(_("Write the better answer, or go back and choose."), status=422)
    if normalise(text) == normalise(picked):
        raise PlainError(
            _("You have not changed it. Change it, or go back and choose it as it is."), status=422
        )
    return text


def last_choice(run: PreferenceRun, by: User) -> AnswerPair | None:
    """This person's newest choice."""
    mine = run.answer_pairs.decided().filter(decided_by=by).select_related("example", "edit")
    return mine.order_by("-decided_at", "-pk").first()


def undo_last(*, run: PreferenceRun, by: User) -> AnswerPair | None:
    """Take this person's newest choice back, and show them the pair again; None without one.

    Raises:
        PlainError: somebody has changed the training pair since.
    """
    last = last_choice(run, by)
    if last is None:
        return None
    with transaction.atomic():
        lock(last.example.dataset)
        pair = run.answer_pairs.select_for_update(of=("self",)).get(pk=last.pk)
        if pair.decided_at != last.decided_at:  # a second click
            return pair
        if pair.edit and pair.edit.undone_at is None:
            _back, left = undo(edit=pair.edit, by=by)
            if left:
                raise PlainError(
                    _(
                        "Somebody has changed that row of the dataset since, so it stays as it is, "
                        "and so does your choice."
                    ),
                    status=409,
                    title=_("Changed meanwhile"),
                )
        pair.state = AnswerPair.State.READY
        pair.edit = pair.made = pair.decided_by = pair.decided_at = None
        pair.held_by, pair.held_until = by, timezone.now() + HELD_FOR
        pair.save()
    return pair
