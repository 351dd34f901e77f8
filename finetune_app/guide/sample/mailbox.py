"""Reads the sample dataset, with the goal it belongs to."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from finetune_app.core.chat_messages import Message
from finetune_app.datasets.schemas import RowToAdd
from finetune_app.goals.measures.base import MeasureSettings

DATA = Path(__file__).with_name("emails.csv")
NEW_WORDING = Path(__file__).with_name("new_wording.csv")

NAME = "Sort shop emails"

DESCRIPTION = """\
You sort the emails of Kettle Lane Cycles, a bike shop. Answer with exactly three lines and \
nothing else:
topic: repair, delivery, return or hire
desk: workshop for repair, office for delivery and return, counter for hire
due: today if it cannot wait past tomorrow, otherwise this_week"""

# The shots of the best prompt found, in the order measured; the first three are also the goal's
# pairs. They are looked up in the train split by their email.
SHOT_EMAILS = (
    (
        "Hello, I paid for next day delivery and it hasn't come. Can you call them now? "
        "I leave the house at four."
    ),
    "Is there a discount if we rent six bikes for more than a week? We'd come at half term.",
    (
        "Good afternoon, has anyone started on my Giant yet? I was told ready on Wednesday, "
        "and I need it back tonight."
    ),
    (
        "The rear light came with a cracked cover. Could I have a replacement or a refund, "
        "whichever is easier for you?"
    ),
    "Tomas has my old Dawes for a wheel repair. When will it be finished, roughly?",
)

TOKENS_PER_ROW = 69  # with the starter's tokenizer and chat template, on average
EPOCHS = 5  # after about so many it ends by itself


@dataclass(frozen=True)
class Sample:
    """A goal, its examples, and the best prompt known for the untrained model.

    `rows` are {"messages": [...], "split": "train" | "validation" | "test"}; `pairs` and the
    shots of `best_prompt` are {"prompt", "answer"}; `training_tokens` is an estimate for the
    starter over EPOCHS passes.
    """

    name: str
    description: str
    kind: str
    measure: str
    measure_settings: MeasureSettings
    pairs: list[dict[str, str]]
    rows: list[RowToAdd]
    best_prompt: dict[str, Any]
    path: Path
    training_tokens: int

    @property
    def file_name(self) -> str:
        return self.path.name

    @property
    def instructions(self) -> str:
        """The rules of the shop; the rows themselves have no instructions."""
        return self.description


@cache
def sample() -> Sample:
    emails = _read(DATA)
    answers = {row["email"]: row["answer"] for row in emails if row["split"] == "train"}
    shots = [{"prompt": email, "answer": answers[email]} for email in SHOT_EMAILS]
    return Sample(
        name=NAME,
        description=DESCRIPTION,
        kind="format",
        measure="exact",
        measure_settings={},
        pairs=shots[:3],
        rows=[_as_row(row) for row in emails],
        best_prompt={"instructions": DESCRIPTION, "shots": shots},
        path=DATA,
        training_tokens=TOKENS_PER_ROW * EPOCHS * len(answers),
    )


def new_wording() -> dict[str, list[str]]:
    """Test emails whose topic is expressed by words that no training email uses for it."""
    return {row["email"]: row["cue_words"].split() for row in _read(NEW_WORDING)}


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _as_row(row: dict[str, str]) -> RowToAdd:
    messages: list[Message] = [
        {"role": "user", "content": row["email"]},
        {"role": "assistant", "content": row["answer"]},
    ]
    return {"messages": messages, "split": row["split"]}
