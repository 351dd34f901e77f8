"""Factories of tests: examples, findings, versions, imports and documents."""

import json
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from finetune_app.accounts.models import Team, User
from finetune_app.checks.models import Finding, Severity
from finetune_app.datasets.models import Dataset, Example, Import, Split
from finetune_app.goals.models import Goal
from finetune_app.knowledge.models import Document, Knowledge
from finetune_app.versions.models import Version
from tests.factories_live import job

SPLITS = [Split.TRAIN] * 6 + [Split.VALIDATION] * 2 + [Split.TEST] * 2


def write(name: str, text: str) -> str:
    path = Path(settings.DATA_DIR) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return name


def example(dataset: Dataset, number: int) -> Example:
    prompt, answer = f"Email {number}: is my bike ready?", "repair_status"
    return Example.objects.create(
        dataset=dataset,
        number=number,
        prompt=prompt,
        answer=answer,
        prompt_hash=str(number),
        messages=[
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": answer},
        ],
        split=SPLITS[number - 1],
        source="emails.csv",
    )


def version(dataset: Dataset, examples: list[Example], by: User) -> Version:
    rows = [
        {"id": e.pk, "split": e.split, "messages": e.messages, "source": e.source} for e in examples
    ]
    name = f"versions/{dataset.pk}/1.jsonl"
    return Version.objects.create(
        dataset=dataset,
        number=1,
        sha256="0" * 64,
        created_by=by,
        stored_name=write(name, "".join(json.dumps(row) + "\n" for row in rows)),
        counts={split.value: SPLITS.count(split) for split in Split},
        longest=60,
        characters=360,
    )


def finding(dataset: Dataset, example: Example) -> Finding:
    return Finding.objects.create(
        dataset=dataset,
        check_name="duplicates",
        severity=Severity.WARNING,
        count=1,
        examples=[example.pk],
        message="One example is there twice.",
        fix="set_aside",
        fix_label="Set 1 aside",
    )


def import_file(dataset: Dataset, team: Team, by: User) -> Import:
    """An inspected file with one unreadable line, waiting for confirmation."""
    line = {"line": 2, "cells": {"email": "Is my bike ready?", "topic": "repair_status"}}
    bad = {"line": 3, "reason": "This line has no answer.", "text": "Hello"}
    made = Import.objects.create(
        dataset=dataset,
        job=job(team, "import"),
        step=Import.Step.CONFIRM,
        by=by,
        file_name="emails.csv",
        size=60,
        rejected=[bad],
        rejected_count=1,
        shape={
            "format": "table",
            "encoding": "utf-8",
            "encoding_why": "",
            "delimiter": ",",
            "has_header": True,
            "columns": ["email", "topic"],
            "filled": {"email": 1, "topic": 1},
            "rows": [line],
            "row_count": 2,
            "usable": 1,
            "unreadable": 1,
        },
        mapping={
            "style": "pairs",
            "prompt": "email",
            "answer": "topic",
            "context": "",
            "system": "",
            "split": "",
            "why": "",
        },
    )
    text = "email,topic\nIs my bike ready?,repair_status\nHello\n"
    made.stored_name = write(f"uploads/{made.pk}/emails.csv", text)
    write(f"{made.folder}/rejected.jsonl", json.dumps(bad) + "\n")
    made.save()
    return made


def document(goal: Goal, by: User) -> Document:
    """Two documents: one indexed, one that could not be read."""
    text = "Warranty\n\nThe pump carries a warranty of 27 months."
    knowledge = Knowledge.objects.create(
        goal=goal,
        job=job(goal.team, "index"),
        index=1,
        last_index=1,
        passages=1,
        characters=len(text),
        indexed_at=timezone.now(),
        practice={"asked": 8, "found": 7, "missed": [goal.dataset.examples.earliest("pk").pk]},
    )
    folder = f"{knowledge.folder}/documents/1"
    blocks = [[0, 8, 1, 1], [10, len(text), 0, 1]]
    write(f"{folder}/text.txt", text)
    write(f"{folder}/read.json", json.dumps({"reader": 1, "pages": 1, "blocks": blocks}))
    passages = [[10, len(text), 10, 1, "Warranty", 1]]
    write(f"{folder}/passages.json", json.dumps({"passages": passages}))
    write(f"{knowledge.index_folder}/index.json", "{}")
    Document.objects.create(
        knowledge=knowledge,
        name="scan.pdf",
        folder=f"{knowledge.folder}/documents/2",
        sha256="1" * 64,
        size=90_000,
        state=Document.State.FAILED,
        message="There is no text in this PDF, only pictures of pages: it was scanned.",
    )
    return Document.objects.create(
        knowledge=knowledge,
        name="handbook.pdf",
        folder=folder,
        sha256="0" * 64,
        size=4200,
        state=Document.State.READY,
        pages=1,
        passages=1,
        characters=len(text),
        added_by=by,
    )
