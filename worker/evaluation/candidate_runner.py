"""Runs candidates over prompt rows: batches by engine, progress, stopping.

Evaluation scores the answers, suggestions store them. Both generate through this module, so that
a candidate suggests exactly the answers that it was tested with.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from finetune_app.candidates.prompt_builder import BuiltPrompt
from finetune_app.core.engine_protocol import ROUNDED
from worker.channel import Channel
from worker.engine.batch_generation import GenerationStopped, as_completed
from worker.engine.engine import Engine
from worker.engine.requests import Completion, GenerationRequest
from worker.evaluation.inputs import Candidate, PromptRow
from worker.evaluation.passages import retrieve_passages

Pair = tuple[Candidate, PromptRow]
BLOCK_ROWS = 64  # answered by one candidate after the other


def by_engine(candidates: list[Candidate]) -> list[list[Candidate]]:
    """The local candidates, grouped by the engine they share: of a base model as it is, or of its
    weights rounded to one of the formats."""
    groups: dict[tuple[Path, str], list[Candidate]] = {}
    for candidate in candidates:
        if candidate.base_model:
            rounded = candidate.number_format if candidate.number_format in ROUNDED else ""
            groups.setdefault((candidate.base_model, rounded), []).append(candidate)
    return list(groups.values())


class CandidateRunner:
    """Generates an answer for every (candidate, prompt row) pair; subclasses handle the answers.

    Args:
        answered: (candidate id, row id) pairs to skip.
        done_before: answers of an earlier attempt, for the progress; by default `answered`'s.
    """

    phase_message = "Answering your test prompts"
    unit = "answers"

    def __init__(
        self,
        channel: Channel,
        candidates: list[Candidate],
        rows: list[PromptRow],
        *,
        max_new_tokens: int,
        answered: set[tuple[int, int]],
        done_before: int | None = None,
    ) -> None:
        self.channel = channel
        self.candidates = candidates
        self.rows = rows
        self.max_new_tokens = max_new_tokens
        self.answered = answered
        self.done_before = len(answered) if done_before is None else done_before
        self.total = len(candidates) * len(rows)
        self.new_answers = 0
        self.passages = retrieve_passages(candidates, rows, channel)

    def pending_pairs(self, group: list[Candidate]) -> list[Pair]:
        """All pairs without an answer, shortest prompts first.

        Blocks of rows are answered by one candidate after the other: a batch in which all have the
        same instructions and adapter has less to compute, and an evaluation that is stopped
        half-way has complete comparisons of most rows.
        """
        by_length = sorted(self.rows, key=lambda r: sum(len(m["content"]) for m in r.messages))
        blocks = [by_length[i : i + BLOCK_ROWS] for i in range(0, len(by_length), BLOCK_ROWS)]
        pairs = [(c, r) for block in blocks for c in group for r in block]
        return [(c, r) for c, r in pairs if (c.id, r.row) not in self.answered]

    def answer_all(self, engine: Engine, group: list[Candidate]) -> bool:
        """Generate the pending answers of these candidates; return whether the job was stopped."""
        self.channel.emit("phase", phase="answering", message=self.phase_message)
        self.report_progress()
        requests = [(pair, partial(self._request, pair)) for pair in self.pending_pairs(group)]
        try:
            for pair, answer in as_completed(engine, requests, self.channel):
                self.handle_answer(pair, answer)
        except GenerationStopped:
            return True
        return False

    def handle_answer(self, pair: Pair, answer: Completion | Exception) -> None:
        """Process one answer, and report the progress."""
        raise NotImplementedError

    def prompt_for(self, candidate: Candidate, row: PromptRow) -> BuiltPrompt:
        """The row's messages behind the candidate's instructions, shots and passages."""
        return candidate.build_prompt(row.messages, self.passages.get((candidate.id, row.row), []))

    def report_progress(self) -> None:
        done = self.done_before + self.new_answers
        self.channel.emit("progress", done=done, total=self.total, unit=self.unit)

    def _request(self, pair: Pair) -> GenerationRequest:
        candidate, row = pair
        messages = self.prompt_for(candidate, row).messages
        return candidate.request(messages, self.max_new_tokens, row.tools)
