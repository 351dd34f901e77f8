"""Context of the pages of a prompt sheet."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core import charts
from finetune_app.evaluation.presenters import ShownText, as_shown, job_headline
from finetune_app.jobs.presenters import waiting_facts
from finetune_app.prompt_sheets.limits import MAX_NOTE_CHARACTERS
from finetune_app.prompt_sheets.models import (
    PromptSheet,
    Reading,
    SheetAnswer,
    SheetNote,
    SheetPrompt,
)
from finetune_app.prompt_sheets.services import labels_of, places_of

LETTERS = "ABCDE"


@dataclass(frozen=True)
class Column:
    """One answer. `place` counts from 0; `name` is "" while names are hidden."""

    place: int
    letter: str
    name: str
    answer: SheetAnswer | None
    shown: ShownText | None
    preferred: bool


@dataclass(frozen=True)
class Tally:
    """What one person marked, with names."""

    by: User
    counts: list[tuple[str, int]]  # (name or "none of them", prompts)
    marked: int


def progress_context(sheet: PromptSheet) -> dict[str, Any]:
    """Context of the page while the job runs, or where it did not end."""
    job = sheet.job
    facts = waiting_facts(job)
    if job.total:
        facts.append(_("%(done)d of %(total)d answers") % {"done": job.done, "total": job.total})
    return {
        "headline": job_headline(job),
        "facts": facts,
        "bar": charts.bar(job.done, job.total),
        "prompts": sheet.prompts.count(),
    }


def reading_of(sheet: PromptSheet, user: User) -> Reading | None:
    return sheet.readings.filter(by=user).first()


def hides_names(reading: Reading | None, *, may_edit: bool) -> bool:
    """Whether this person still marks without names. Viewers mark nothing, so they see them."""
    return may_edit and not (reading and reading.names_shown_at)


def reading_context(
    sheet: PromptSheet, user: User, asked: int | None, *, may_edit: bool
) -> dict[str, Any]:
    """Context of the page for the prompt at `asked`, or the first one."""
    indexes = list(sheet.prompts.values_list("index", flat=True))
    at = asked if asked in indexes else indexes[0]
    prompt = sheet.prompts.get(index=at)
    reading, labels = reading_of(sheet, user), labels_of(sheet)
    hidden = hides_names(reading, may_edit=may_edit)
    mine = reading.marks.filter(prompt=prompt).first() if reading else None
    place = indexes.index(at)
    return {
        "prompt": prompt,
        "columns": _columns(labels, prompt, mine.preferred_id if mine else None, hidden=hidden),
        "prefers_none": mine is not None and mine.preferred_id is None,
        "hidden": hidden,
        "marked": reading.marks.count() if reading else 0,
        "place": place + 1,
        "total": len(indexes),
        "before": indexes[place - 1] if place else None,
        "after": indexes[place + 1] if place + 1 < len(indexes) else None,
        "my_note": SheetNote.objects.filter(reading=reading, prompt=prompt).first(),
        "other_notes": [] if hidden else _notes_of_others(prompt, user),
        "tallies": [] if hidden else tallies(sheet, labels),
        "max_note": MAX_NOTE_CHARACTERS,
    }


def _columns(
    labels: dict[int, str], prompt: SheetPrompt, preferred: int | None, *, hidden: bool
) -> list[Column]:
    """labels: the candidates by pk, see `labels_of`."""
    answers = {one.candidate_id: one for one in prompt.answers.all()}
    return [
        Column(
            place=place,
            letter=LETTERS[place],
            name="" if hidden else labels[pk],
            answer=answers.get(pk),
            shown=as_shown(answers[pk].text) if pk in answers else None,
            preferred=pk == preferred,
        )
        for place, pk in enumerate(places_of(prompt, labels))
    ]


def finished_readings(sheet: PromptSheet) -> QuerySet[Reading]:
    """Of those who have seen the names: their marks no longer change."""
    return sheet.readings.filter(names_shown_at__isnull=False).select_related("by")


def _notes_of_others(prompt: SheetPrompt, user: User) -> QuerySet[SheetNote]:
    """Only of those who have seen the names: one without names speaks of A and B."""
    readings = finished_readings(prompt.sheet).exclude(by=user)
    return prompt.notes.filter(reading__in=readings).select_related("reading__by")


def tallies(sheet: PromptSheet, labels: dict[int, str]) -> list[Tally]:
    """Of everybody who has marked something and then seen the names."""
    found = []
    for reading in finished_readings(sheet):
        preferred = Counter(mark.preferred_id for mark in reading.marks.all())
        if preferred:
            counts = [(label, preferred[pk]) for pk, label in labels.items()]
            counts.append((_("None of them"), preferred[None]))
            found.append(Tally(reading.by, counts, preferred.total()))
    return found
