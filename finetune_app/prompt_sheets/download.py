"""Every prompt of a sheet with all answers, marks and notes: CSV, or JSON lines.

A sheet has at most MAX_PROMPTS prompts, so it is made in memory, prompt by prompt.
"""

import csv
import io
import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from finetune_app.core.text_formats import safe_cell
from finetune_app.prompt_sheets.models import PromptSheet, Reading, SheetAnswer, SheetPrompt
from finetune_app.prompt_sheets.presenters import finished_readings
from finetune_app.prompt_sheets.services import labels_of

TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
NONE = "none of them"


@dataclass(frozen=True)
class Person:
    """Somebody who has read the sheet: what they preferred and noted, by the id of the prompt."""

    name: str
    preferred: dict[int, str]
    notes: dict[int, str]


def sheet_pieces(sheet: PromptSheet, form: str) -> Generator[bytes]:
    """`form` is a key of TYPES."""
    labels = labels_of(sheet)
    people = [_person(reading, labels) for reading in finished_readings(sheet)]
    prompts = sheet.prompts.prefetch_related("answers")
    if form == "jsonl":
        for prompt in prompts:
            yield _json_line(prompt, labels, people).encode()
        return
    yield "\ufeff".encode()  # a spreadsheet knows UTF-8 by this mark
    for cells in _table(prompts.all(), labels, people):
        text = io.StringIO()
        csv.writer(text).writerow([safe_cell(cell) for cell in cells])
        yield text.getvalue().encode()


def _person(reading: Reading, labels: dict[int, str]) -> Person:
    marks = reading.marks.values_list("prompt", "preferred")
    return Person(
        str(reading.by),
        {prompt: labels.get(preferred or 0, NONE) for prompt, preferred in marks},
        dict(reading.notes.values_list("prompt", "text")),
    )


def _table(prompts: Any, labels: dict[int, str], people: list[Person]) -> Iterator[list[str]]:
    yield [
        "number",
        "prompt",
        *labels.values(),
        *(
            title
            for person in people
            for title in (f"preferred by {person.name}", f"note of {person.name}")
        ),
    ]
    for prompt in prompts:
        answers = _answers(prompt)
        yield [
            str(prompt.index + 1),
            prompt.text,
            *(answers[pk].text if pk in answers else "" for pk in labels),
            *(
                found.get(prompt.pk, "")
                for person in people
                for found in (person.preferred, person.notes)
            ),
        ]


def _json_line(prompt: SheetPrompt, labels: dict[int, str], people: list[Person]) -> str:
    answers = _answers(prompt)
    record = {
        "number": prompt.index + 1,
        "prompt": prompt.text,
        "answers": [
            {
                "by": label,
                "text": answers[pk].text,
                "refused": answers[pk].why if answers[pk].refused else None,
                "tokens": answers[pk].tokens,
                "seconds": answers[pk].seconds,
            }
            for pk, label in labels.items()
            if pk in answers
        ],
        "readings": [
            {
                "by": person.name,
                "preferred": person.preferred.get(prompt.pk),
                "note": person.notes.get(prompt.pk),
            }
            for person in people
        ],
    }
    return json.dumps(record, ensure_ascii=False) + "\n"


def _answers(prompt: SheetPrompt) -> dict[int, SheetAnswer]:
    return {one.candidate_id: one for one in prompt.answers.all()}
