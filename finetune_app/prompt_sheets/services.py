"""Makes sheets of prompts, stores what is answered to them, and what people mark and note."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.candidates.models import Candidate
from finetune_app.core.errors import PlainError
from finetune_app.evaluation.presenters import label_of
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import CAN_CONTINUE, Job
from finetune_app.prompt_sheets.job_messages import SheetAnswerEvent
from finetune_app.prompt_sheets.limits import (
    MAX_CANDIDATES,
    MAX_NOTE_CHARACTERS,
    MIN_CANDIDATES,
)
from finetune_app.prompt_sheets.models import (
    Mark,
    PromptSheet,
    Reading,
    SheetAnswer,
    SheetNote,
    SheetPrompt,
)

MAX_NAME = 100


@transaction.atomic
def start(
    *,
    goal: Goal,
    name: str,
    prompts: Sequence[str],
    candidates: Sequence[Candidate],
    max_new_tokens: int,
    user: User,
) -> PromptSheet:
    """Queue the answers of these candidates to these prompts; the same request while it is active
    returns the sheet that is there.

    Raises:
        PlainError: too few or too many candidates.
    """
    goal = Goal.objects.lock(goal.pk)
    if not MIN_CANDIDATES <= len(candidates) <= MAX_CANDIDATES:
        raise PlainError(
            _("%(min)d to %(max)d can answer beside each other.")
            % {"min": MIN_CANDIDATES, "max": MAX_CANDIDATES},
            status=422,
        )
    wanted = {one.pk for one in candidates}
    for active in goal.prompt_sheets.active():
        asked = list(active.prompts.values_list("text", flat=True))
        if asked == list(prompts) and {one.pk for one in active.candidates.all()} == wanted:
            return active
    name = Truncator(" ".join(name.split())).chars(MAX_NAME)
    job = jobs.create(
        team=goal.team, kind="prompt_sheet", spec={}, title=_("Your own prompts, side by side")
    )
    sheet = PromptSheet.objects.create(
        goal=goal, name=name, max_new_tokens=max_new_tokens, job=job, started_by=user
    )
    sheet.candidates.set(candidates)
    SheetPrompt.objects.bulk_create(
        SheetPrompt(
            sheet=sheet, index=index, text=text, order=random.sample(sorted(wanted), len(wanted))
        )
        for index, text in enumerate(prompts)
    )
    return sheet


def stop(*, sheet: PromptSheet) -> None:
    jobs.ask_stop(sheet.job)


def resume(*, sheet: PromptSheet) -> None:
    """Have the prompts answered that have no answer yet. Raises PlainError unless it is stopped."""
    if sheet.job.state not in CAN_CONTINUE:
        raise PlainError(_("This is not stopped, so there is nothing to continue."))
    jobs.ask_continue(sheet.job)


def delete(*, sheet: PromptSheet) -> None:
    sheet.delete()


def store_answer(job: Job, event: SheetAnswerEvent) -> None:
    """Idempotent: an event may arrive twice."""
    prompt = SheetPrompt.objects.get(sheet__job=job, index=event["index"])
    SheetAnswer.objects.update_or_create(
        prompt=prompt,
        candidate_id=event["candidate"],
        defaults={
            "text": event["text"],
            "refused": event["refused"],
            "why": event["why"][:200],
            "tokens": event["tokens"],
            "seconds": event["seconds"],
        },
    )


def labels_of(sheet: PromptSheet) -> dict[int, str]:
    """Candidate id -> its name on the page, different for each."""
    seen: Counter[str] = Counter()
    labels = {}
    for candidate in sheet.ordered_candidates():
        label = label_of(candidate)
        seen[label] += 1
        labels[candidate.pk] = f"{label} {seen[label]}" if seen[label] > 1 else label
    return labels


def places_of(prompt: SheetPrompt, known: Any) -> list[int]:
    """The ids of the candidates in the order of this prompt, without any that was deleted."""
    return [pk for pk in prompt.order if pk in known]


def mark(*, sheet: PromptSheet, index: int, by: User, answer: str) -> None:
    """Store which answer this person prefers: its place ("0" is the first), or "none".

    Raises:
        PlainError: there is no such prompt or answer, or the names are shown already.
    """
    prompt = _prompt_of(sheet, index)
    with transaction.atomic():
        reading = _reading_to_change(sheet, by)
        if reading.names_shown_at:
            raise PlainError(
                _("You have seen the names, so what you marked stays as it is."), status=409
            )
        places = places_of(prompt, labels_of(sheet))
        choices = {"none": None} | {str(place): pk for place, pk in enumerate(places)}
        if answer not in choices:
            raise PlainError(_("There is no such answer to this prompt."))
        Mark.objects.update_or_create(
            reading=reading, prompt=prompt, defaults={"preferred_id": choices[answer]}
        )


def save_note(*, sheet: PromptSheet, index: int, by: User, text: str) -> None:
    """Write this person's note on a prompt; an empty text deletes it.

    Raises:
        PlainError: there is no such prompt, or the text is too long.
    """
    prompt = _prompt_of(sheet, index)
    text = text.replace("\0", "").strip()
    if len(text) > MAX_NOTE_CHARACTERS:
        raise PlainError(
            _("A note can have %(n)s characters at most.") % {"n": f"{MAX_NOTE_CHARACTERS:,}"}
        )
    if not text:
        SheetNote.objects.filter(reading__by=by, prompt=prompt).delete()
        return
    with transaction.atomic():
        reading = _reading_to_change(sheet, by)
        SheetNote.objects.update_or_create(reading=reading, prompt=prompt, defaults={"text": text})


def show_names(*, sheet: PromptSheet, by: User) -> None:
    """From now on this person sees whose answer is whose, and their marks are final."""
    with transaction.atomic():
        reading = _reading_to_change(sheet, by)
        if reading.names_shown_at is None:
            reading.names_shown_at = timezone.now()
            reading.save(update_fields=["names_shown_at"])


def _reading_to_change(sheet: PromptSheet, by: User) -> Reading:
    """Of this person, its row locked until the transaction ends. Raises PlainError until all is
    answered."""
    if not sheet.is_done:
        raise PlainError(_("The answers are not there yet."), status=409)
    reading, _new = Reading.objects.get_or_create(sheet=sheet, by=by)
    return Reading.objects.select_for_update().get(pk=reading.pk)


def _prompt_of(sheet: PromptSheet, index: int) -> SheetPrompt:
    prompt = sheet.prompts.filter(index=index).first()
    if prompt is None:
        raise PlainError(_("There is no such prompt here."), status=404)
    return prompt
