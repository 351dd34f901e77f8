"""The rows of the training benchmark, in three shapes, from the same pairs of English and bash.

short    a request and its command, 69 tokens on average
prefix   the same, each after the same instructions of more than 500 tokens
turns    four requests in one conversation; the last command is learned
"""

import csv
import os
import random
from pathlib import Path

from finetune_app.core.chat_messages import Message

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = Path(os.environ.get("FINETUNE_DATA_DIR_SAMPLES", ROOT.parent / "shared" / "data"))
MANUAL = ROOT / "benchmarks" / "handbook" / "pages"
ROWS, HELD_OUT, SEED = 320, 100, 17
TURNS, MANUAL_CHARACTERS = 4, 2600
SHAPES = ("short", "prefix", "turns")


def conversations(shape: str) -> tuple[list[list[Message]], list[list[Message]]]:
    """Practice and held-out conversations."""
    turns = TURNS if shape == "turns" else 1
    pairs = _pairs((ROWS + HELD_OUT) * turns)
    found = [
        _instructions(shape) + _conversation(pairs[start : start + turns])
        for start in range(0, len(pairs), turns)
    ]
    return found[:ROWS], found[ROWS:]


def _pairs(wanted: int) -> list[tuple[str, str]]:
    with (SAMPLES / "nl2bash.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    random.Random(SEED).shuffle(rows)
    return [(row["request"], row["command"]) for row in rows[:wanted]]


def _instructions(shape: str) -> list[Message]:
    if shape != "prefix":
        return []
    manual = "\n\n".join(page.read_text("utf-8") for page in sorted(MANUAL.iterdir()))
    return [{"role": "system", "content": manual[:MANUAL_CHARACTERS]}]


def _conversation(pairs: list[tuple[str, str]]) -> list[Message]:
    messages: list[Message] = []
    for request, command in pairs:
        messages += [
            {"role": "user", "content": request},
            {"role": "assistant", "content": command, "weight": 0},
        ]
    del messages[-1]["weight"]
    return messages
