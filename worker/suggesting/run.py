"""Suggestions: one candidate answers the prompts of rows that have no answer yet.

It generates as an evaluation does, and emits each answer as it comes. The spec holds prompts only:
no row's answer, whichever split the row belongs to.
"""

from __future__ import annotations

import time
from typing import cast

from finetune_app.candidates.specs import SuggestionResult, SuggestionSpec
from worker.channel import Channel, Job, UserError
from worker.engine.adapters import BadAdapter
from worker.engine.requests import Completion, PromptTooLong
from worker.evaluation.candidate_runner import CandidateRunner, Pair, by_engine
from worker.evaluation.inputs import PromptRow, read_candidates
from worker.evaluation.number_formats import NumberFormats, open_engine
from worker.evaluation.remote import answer_remotely


def run(job: Job, channel: Channel) -> SuggestionResult:
    """Ask the candidate of the spec; returns the result event. See worker.channel."""
    started = time.monotonic()
    runner = SuggestionRunner(cast(SuggestionSpec, job.spec), channel)
    stopped = False
    for group in by_engine(runner.candidates):
        channel.emit("phase", phase="loading", message="Loading the model")
        with open_engine(group, NumberFormats(job.folder)) as engine:
            stopped = runner.answer_all(engine, group)
    stopped = stopped or answer_remotely(runner)
    return {
        "rows": len(runner.rows),
        "refused": runner.refused,
        "stopped": stopped,
        "seconds": round(time.monotonic() - started, 2),
    }


class SuggestionRunner(CandidateRunner):
    """Emits each answer as a suggestion for its row."""

    phase_message = "Suggesting answers"
    unit = "rows"

    def __init__(self, spec: SuggestionSpec, channel: Channel) -> None:
        rows = [
            PromptRow(given["row"], index, given["messages"], wanted="")
            for index, given in enumerate(spec["questions"])
        ]
        super().__init__(
            channel,
            read_candidates([spec["candidate"]]),
            rows,
            max_new_tokens=int(spec["max_new_tokens"]),
            answered=set(),
            done_before=int(spec["made"]),
        )
        self.total += self.done_before
        self.refused = 0

    def handle_answer(self, pair: Pair, answer: Completion | Exception) -> None:
        candidate, row = pair
        self.new_answers += 1
        if isinstance(answer, BadAdapter):
            raise UserError("bad_model", str(answer)) from answer
        if isinstance(answer, PromptTooLong | UserError):
            self.refuse(pair)  # this prompt is too long for it; a person answers that row
        elif isinstance(answer, Exception):
            raise answer
        elif answer.finish_reason == "length" or not answer.text.strip():
            self.refuse(pair)  # a truncated answer is no suggestion, nor is an empty one
        else:
            self.channel.emit("suggestion", row=row.row, candidate=candidate.id, text=answer.text)
        self.report_progress()

    def refuse(self, pair: Pair) -> None:
        candidate, row = pair
        self.refused += 1
        self.channel.emit("refused", row=row.row, candidate=candidate.id)
