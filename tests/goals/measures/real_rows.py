"""Texts on which numbers are compared with those of reference libraries: two dozen of our own, and
200 real ones where they are at hand."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

SAMPLES = Path(os.environ.get("FINETUNE_DATA_DIR_SAMPLES") or settings.BASE_DIR / "../shared/data")
ROWS = 200
Pairs = list[tuple[str, str]]

OWN_TEXTS = [
    "We refund it at the desk, with the receipt.",
    "Bring the receipt to the desk and we refund it.",
    "The front brake squeals since Monday; the back one does not.",
    "The back brake squeals since Monday, the front one does not.",
    "Open from 9 to 5, closed on Sundays.",
    "We are open from nine to five and closed on Sunday.",
    "Parcel 4711 left Leeds on 3 May 2026.",
    "Parcel 4712 left York on 4 May 2026!",
    "No.",
    "No, thank you.",
    "The e-mail's subject line is empty - please add one.",
    "Please add a subject line to the e-mail; it is empty.",
    "A A A B",
    "B A A A",
    "Saddle, bell, lamp, pump",
    "lamp, saddle, bell",
    "It costs £12.50 (plus postage).",
    "Postage is extra; it costs 12.50 pounds.",
    "The_quick_brown fox jumps over the lazy dog",
    "The quick brown dog jumps over the lazy fox",
    "ls -la | wc -l",
    "ls -l | wc",
    "One line\nand another line\n\nand a third",
    "one line and a third",
]


def neighbours(texts: list[str]) -> Pairs:
    """Each text as an answer to the one after it."""
    return list(zip(texts, texts[1:] + texts[:1], strict=True))


def source(name: str) -> Path:
    if not (SAMPLES / name).exists():
        pytest.skip(f"{name} is not in {SAMPLES}; set FINETUNE_DATA_DIR_SAMPLES")
    return SAMPLES / name


def own_pairs() -> Pairs:
    return neighbours(OWN_TEXTS)


def real_pairs() -> Pairs:
    """Requests for bash commands, each with the next one; many of them are alike."""
    with source("nl2bash.csv").open(encoding="utf-8") as file:
        return neighbours([row["request"] for row in csv.DictReader(file)][:ROWS])


def own_objects() -> Pairs:
    """JSON answers: every third right, every third of the row before, the rest not JSON."""
    wanted = [
        json.dumps({"topic": topic, "place": {"town": town, "floor": n % 3}, "tags": [topic, town]})
        for n, (topic, town) in enumerate(
            zip(["return", "repair", "hire"] * 8, ["Leeds", "York", "Hull", "Ely"] * 6, strict=True)
        )
    ]
    return mistaken(wanted)


def real_objects() -> Pairs:
    lines = source("snips_json.jsonl").read_text().splitlines()[:ROWS]
    return mistaken([json.loads(line)["messages"][-1]["content"] for line in lines])


def mistaken(wanted: list[str]) -> Pairs:
    wrong = ("Sure! Here it is.", "{}")
    return [
        (text if n % 3 == 0 else wanted[n - 1] if n % 3 == 1 else wrong[n % 2], text)
        for n, text in enumerate(wanted)
    ]


SOURCES: dict[str, Callable[[], Pairs]] = {"own": own_pairs, "real": real_pairs}
OBJECTS: dict[str, Callable[[], Pairs]] = {"own": own_objects, "real": real_objects}
