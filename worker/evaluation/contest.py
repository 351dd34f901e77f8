"""The frozen test prompts, and the messages that each candidate is asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_app.candidates.composing import Passage, Recipe, compose
from worker.channel import UserError
from worker.engine.requests import Message, Request


@dataclass(frozen=True)
class Question:
    """One row of the test split: what is asked, and the answer that was wanted."""

    row: int
    index: int
    messages: list[Message]
    wanted: str


@dataclass(frozen=True)
class Contender:
    """A candidate as the worker sees it."""

    id: int
    name: str
    adapter: Path | None
    recipe: Recipe

    def asked(self, question: list[Message], passages: Sequence[Passage] = ()) -> list[Message]:
        """The question behind this candidate's instructions, example turns and passages."""
        return compose(self.recipe, question, passages).messages

    def request(self, question: list[Message], max_new_tokens: int) -> Request:
        """Greedy, so that a second look finds the same answer."""
        return Request(self.asked(question), self.adapter, max_new_tokens=max_new_tokens)


def read_questions(version: Path) -> list[Question]:
    """The test rows of a frozen version, the wanted answer set apart."""
    try:
        with version.open(encoding="utf-8") as lines:  # not splitlines: rows may hold U+2028
            rows = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as problem:
        raise UserError(
            "bad_data", "The frozen version cannot be read. Freeze the dataset again."
        ) from problem
    tests = [row for row in rows if row["split"] == "test"]
    if not tests:
        raise UserError("bad_data", "This version has no test rows, so nothing can be compared.")
    return [
        Question(row["id"], index, row["messages"][:-1], row["messages"][-1]["content"])
        for index, row in enumerate(tests)
    ]


def read_contenders(spec: list[dict[str, Any]]) -> list[Contender]:
    """The candidates of an evaluation's spec."""
    return [
        Contender(
            id=given["id"],
            name=given["name"],
            adapter=Path(given["adapter"]) if given.get("adapter") else None,
            recipe=Recipe.from_json(given),
        )
        for given in spec
    ]
