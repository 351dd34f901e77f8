"""The frozen test prompts, and the messages that each candidate is asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_app.candidates.prompt_builder import (
    BuiltPrompt,
    Passage,
    PromptTemplate,
    build_prompt,
)
from worker.channel import UserError
from worker.engine.requests import GenerationRequest, Message


@dataclass(frozen=True)
class PromptRow:
    """One row of the test split: what is asked, and the answer that was wanted."""

    row: int
    index: int
    messages: list[Message]
    wanted: str

    @property
    def sought(self) -> str:
        """What is looked up in documents: the last thing that was asked."""
        return self.messages[-1]["content"] if self.messages else ""


@dataclass(frozen=True)
class Candidate:
    """A candidate as the worker sees it: what answers, and what is put before a question.

    Exactly one of `base_model` (a folder here) and `endpoint` (a model elsewhere) is set.
    `knowledge` says which index is searched, and how many passages are shown.
    """

    id: int
    name: str
    base_model: Path | None
    adapter: Path | None
    recipe: PromptTemplate
    number_format: str = "auto"
    sampling: dict[str, Any] = field(default_factory=dict)
    knowledge: dict[str, Any] | None = None
    endpoint: dict[str, Any] | None = field(default=None, repr=False)  # its key is in it

    def asked(self, question: list[Message], passages: Sequence[Passage] = ()) -> BuiltPrompt:
        """The question behind this candidate's instructions, example turns and passages."""
        return build_prompt(self.recipe, question, passages)

    def request(self, messages: list[Message], max_new_tokens: int) -> GenerationRequest:
        """Greedy unless the candidate says otherwise; the seed is always the same, so that a
        second look finds the same answer."""
        return GenerationRequest(
            messages, self.adapter, max_new_tokens=max_new_tokens, **self.sampling
        )


def read_test_rows(version: Path) -> list[PromptRow]:
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
        PromptRow(row["id"], index, row["messages"][:-1], row["messages"][-1]["content"])
        for index, row in enumerate(tests)
    ]


def read_candidates(spec: list[dict[str, Any]]) -> list[Candidate]:
    """The candidates of an evaluation's spec."""
    return [
        Candidate(
            id=given["id"],
            name=given["name"],
            base_model=Path(given["base_model"]) if given.get("base_model") else None,
            adapter=Path(given["adapter"]) if given.get("adapter") else None,
            recipe=PromptTemplate.from_spec(given),
            number_format=given.get("number_format") or "auto",
            sampling=given.get("sampling") or {},
            knowledge=given.get("knowledge"),
            endpoint=given.get("endpoint"),
        )
        for given in spec
    ]
