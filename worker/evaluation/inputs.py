"""The inputs of an evaluation: the candidates of its spec and the test rows of its version."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_app.candidates.prompt_builder import (
    BuiltPrompt,
    Passage,
    PromptTemplate,
    build_prompt,
)
from finetune_app.candidates.specs import CandidateSampling, CandidateSpec, Retrieval
from finetune_app.core.chat_messages import Message, Tool
from finetune_app.core.thinking import NO, THOUGHT_TOKENS
from finetune_app.core.tool_calls import answer_text
from worker.channel import UserError
from worker.engine.requests import GenerationRequest

if TYPE_CHECKING:
    from finetune_app.providers.client import TargetSpec


@dataclass(frozen=True)
class PromptRow:
    """A row to answer: its prompt, and the expected answer where there is one.

    `row` is the id in the version file or the dataset, `index` the position among these rows.
    """

    row: int
    index: int
    messages: list[Message]
    wanted: str
    tools: list[Tool] = field(default_factory=list)

    @property
    def search_query(self) -> str:
        """The query for a search in documents: the last message."""
        return self.messages[-1]["content"] if self.messages else ""


@dataclass(frozen=True)
class Candidate:
    """A candidate as the worker sees it.

    Exactly one of `base_model` (a folder here) and `endpoint` (a remote model) is set. tuned_from:
    the base model's folder, where every weight of `base_model` was trained.
    """

    id: int
    name: str
    base_model: Path | None
    adapter: Path | None
    template: PromptTemplate
    number_format: str = "auto"
    sampling: CandidateSampling = field(default_factory=CandidateSampling)
    knowledge: Retrieval | None = None
    tuned_from: Path | None = None
    thinking: str = NO
    endpoint: TargetSpec | None = field(default=None, repr=False)  # holds the API key

    def build_prompt(
        self, messages: list[Message], passages: Sequence[Passage] = ()
    ) -> BuiltPrompt:
        """`messages` behind this candidate's instructions, shots and passages."""
        return build_prompt(self.template, messages, passages)

    def request(
        self, messages: list[Message], max_new_tokens: int, tools: Sequence[Tool] = ()
    ) -> GenerationRequest:
        """Greedy unless the candidate sets a temperature; the seed is fixed, so that a repeated
        evaluation gives the same answers."""
        return GenerationRequest(
            messages,
            self.adapter,
            tools=tuple(tools),
            max_new_tokens=max_new_tokens,
            thought_tokens=THOUGHT_TOKENS[self.thinking],
            **self.sampling,
        )


def read_test_rows(version: Path, ids: Collection[int] = ()) -> list[PromptRow]:
    """The test rows of a frozen version, with the expected answer apart from the prompt; only
    those with these ids, where any are given.

    Raises:
        UserError: the version cannot be read, or has no test rows ("bad_data").
    """
    try:
        with version.open(encoding="utf-8") as lines:  # not splitlines: rows may hold U+2028
            rows = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as problem:
        raise UserError(
            "bad_data", "The frozen version cannot be read. Freeze the dataset again."
        ) from problem
    wanted = set(ids)
    tests = [row for row in rows if row["split"] == "test" and (not wanted or row["id"] in wanted)]
    if not tests:
        raise UserError("bad_data", "This version has no test rows, so nothing can be compared.")
    return [
        PromptRow(
            row["id"],
            index,
            row["messages"][:-1],
            answer_text(row["messages"][-1]),
            row.get("tools") or [],
        )
        for index, row in enumerate(tests)
    ]


def read_candidates(specs: Sequence[CandidateSpec]) -> list[Candidate]:
    return [
        Candidate(
            id=spec["id"],
            name=spec["name"],
            base_model=_path(spec.get("base_model")),
            adapter=_path(spec.get("adapter")),
            template=PromptTemplate.from_spec(spec),
            number_format=spec.get("number_format") or "auto",
            sampling=spec.get("sampling") or {},
            knowledge=spec.get("knowledge"),
            thinking=spec.get("thinking", NO),
            tuned_from=_path(spec.get("tuned_from")),
            endpoint=spec.get("endpoint"),
        )
        for spec in specs
    ]


def _path(folder: str | None) -> Path | None:
    return Path(folder) if folder else None
