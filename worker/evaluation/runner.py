"""Candidates asked many questions: which pairs are left, one batch a base model, progress, stop.

Evaluation judges what comes back; suggestions only pass it on. Both ask in this one way, so that
what was tested is what suggests.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from finetune_app.candidates.prompt_builder import BuiltPrompt
from worker.channel import Channel
from worker.engine.batch_generation import GenerationStopped, as_completed
from worker.engine.engine import Engine
from worker.engine.requests import Completion, GenerationRequest
from worker.evaluation.inputs import Candidate, PromptRow
from worker.evaluation.passages import retrieve_passages

Pair = tuple[Candidate, PromptRow]


def by_base_model(candidates: list[Candidate]) -> dict[Path, list[Candidate]]:
    groups: dict[Path, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.base_model:
            groups.setdefault(candidate.base_model, []).append(candidate)
    return groups


class CandidateRunner:
    """Runs candidates over prompt rows in batches. A subclass decides what becomes of an answer."""

    doing = "Answering your test prompts"
    unit = "answers"

    def __init__(
        self,
        channel: Channel,
        candidates: list[Candidate],
        questions: list[PromptRow],
        *,
        limit: int,
        answered: set[tuple[int, int]],
        before: int | None = None,
    ) -> None:
        self.channel = channel
        self.candidates = candidates
        self.questions = questions
        self.limit = limit
        self.answered = answered
        self.before = len(answered) if before is None else before
        self.total = len(candidates) * len(questions)
        self.new = 0
        self.shown = retrieve_passages(candidates, questions, channel)

    def left_to_do(self, group: list[Candidate]) -> list[Pair]:
        """All pairs without an answer. One question's pairs stand together, so that candidates
        share a batch and an evaluation stopped half-way holds complete comparisons."""
        by_length = sorted(self.questions, key=lambda q: sum(len(m["content"]) for m in q.messages))
        return [(c, q) for q in by_length for c in group if (c.id, q.row) not in self.answered]

    def answer(self, engine: Engine, group: list[Candidate]) -> bool:
        """Have every pair of these candidates answered; returns whether the person stopped it."""
        self.channel.emit("phase", phase="answering", message=self.doing)
        self.report()
        asked = [(pair, partial(self._request, pair)) for pair in self.left_to_do(group)]
        try:
            for pair, item in as_completed(engine, asked, self.channel):
                self.take(pair, item)
        except GenerationStopped:
            return True
        return False

    def take(self, pair: Pair, item: Completion | Exception) -> None:
        """Do something with one answer, and report."""
        raise NotImplementedError

    def asked(self, candidate: Candidate, question: PromptRow) -> BuiltPrompt:
        """What this candidate is told, shown and asked."""
        return candidate.asked(question.messages, self.shown.get((candidate.id, question.row), []))

    def report(self) -> None:
        done = self.before + self.new
        self.channel.emit("progress", done=done, total=self.total, unit=self.unit)

    def _request(self, pair: Pair) -> GenerationRequest:
        candidate, question = pair
        return candidate.request(self.asked(candidate, question).messages, self.limit)
