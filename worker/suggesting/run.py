"""Suggestions: one candidate answers the prompts of rows that have no answer yet.

It is asked as evaluation asks, and what it says is reported as it comes. The order holds prompts
alone: no row's answer is in it, whatever the row is used for.
"""

from __future__ import annotations

import time
from typing import Any

from worker.channel import Channel, Job, UserError
from worker.engine.adapters import BadAdapter
from worker.engine.requests import Completion, PromptTooLong
from worker.evaluation.inputs import PromptRow, read_candidates
from worker.evaluation.number_formats import NumberFormats, open_engine
from worker.evaluation.remote import answer_remotely
from worker.evaluation.runner import CandidateRunner, Pair, by_base_model


def run(job: Job, channel: Channel) -> dict[str, Any]:
    """Ask the candidate of the spec; returns the result event. See the contract of Channel."""
    started = time.monotonic()
    suggesting = SuggestionRunner(job, channel)
    stopped = False
    for base, group in by_base_model(suggesting.candidates).items():
        channel.emit("phase", phase="loading", message="Loading the model")
        with open_engine(base, group, NumberFormats(job.folder)) as engine:
            stopped = suggesting.answer(engine, group)
    stopped = stopped or answer_remotely(suggesting)
    return {
        "rows": len(suggesting.questions),
        "refused": suggesting.refused,
        "stopped": stopped,
        "seconds": round(time.monotonic() - started, 2),
    }


class SuggestionRunner(CandidateRunner):
    doing = "SuggestionRunner answers"
    unit = "rows"

    def __init__(self, job: Job, channel: Channel) -> None:
        spec = job.spec
        questions = [
            PromptRow(given["row"], index, given["messages"], wanted="")
            for index, given in enumerate(spec["questions"])
        ]
        super().__init__(
            channel,
            read_candidates([spec["candidate"]]),
            questions,
            limit=int(spec["max_new_tokens"]),
            answered=set(),
            before=int(spec["made"]),
        )
        self.total += self.before
        self.refused = 0

    def take(self, pair: Pair, item: Completion | Exception) -> None:
        candidate, question = pair
        self.new += 1
        if isinstance(item, BadAdapter):
            raise UserError("bad_model", str(item)) from item
        if isinstance(item, PromptTooLong | UserError):
            self.refused += 1  # this prompt is too long for it; a person answers that row alone
        elif isinstance(item, Exception):
            raise item
        elif item.finish_reason != "length":  # what was cut off is no answer
            self.channel.emit(
                "suggestion", row=question.row, candidate=candidate.id, text=item.text
            )
        else:
            self.refused += 1
        self.report()
