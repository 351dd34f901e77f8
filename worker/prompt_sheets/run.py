"""A prompt sheet's job: every candidate answers every prompt, as in an evaluation.

Answers are reported as they come. A continued job gets the list of its answers so far
(`answered`) and generates the rest in the same number format.
"""

from __future__ import annotations

import time
from typing import cast

from finetune_app.prompt_sheets.job_messages import SheetAnswerEvent, SheetResult, SheetSpec
from worker.channel import Channel, Job, UserError
from worker.engine.adapters import BadAdapter
from worker.engine.requests import Completion, PromptTooLong
from worker.evaluation.candidate_runner import CandidateRunner, Pair, by_engine
from worker.evaluation.inputs import PromptRow, read_candidates
from worker.evaluation.number_formats import NumberFormats, open_engine
from worker.evaluation.remote import answer_remotely


def run(job: Job, channel: Channel) -> SheetResult:
    """Have all prompts answered; returns the result event. See worker.channel."""
    started = time.monotonic()
    runner = SheetRunner(cast(SheetSpec, job.spec), channel)
    formats = NumberFormats(job.folder)
    stopped = False
    for group in by_engine(runner.candidates):
        if not runner.pending_pairs(group):
            continue
        channel.emit("phase", phase="loading", message="Loading the model")
        with open_engine(group, formats) as engine:
            stopped = runner.answer_all(engine, group)
        if stopped:
            break
    stopped = stopped or answer_remotely(runner)
    return {
        "answers": runner.new_answers,
        "stopped": stopped,
        "seconds": round(time.monotonic() - started, 2),
    }


class SheetRunner(CandidateRunner):
    """Emits each answer as it is. A row's id is the index of its prompt."""

    phase_message = "Answering your prompts"

    def __init__(self, spec: SheetSpec, channel: Channel) -> None:
        super().__init__(
            channel,
            read_candidates(spec["candidates"]),
            [
                PromptRow(index, index, [{"role": "user", "content": text}], wanted="")
                for index, text in enumerate(spec["prompts"])
            ],
            max_new_tokens=spec["max_new_tokens"],
            answered={(candidate, index) for candidate, index in spec["answered"]},
        )

    def handle_answer(self, pair: Pair, answer: Completion | Exception) -> None:
        candidate, row = pair
        event = answer_event(candidate.id, row.index, answer)
        self.new_answers += 1
        self.channel.emit("answer", **event)
        self.report_progress()


def answer_event(candidate: int, index: int, answer: Completion | Exception) -> SheetAnswerEvent:
    """The answer event. A prompt that the candidate could not be asked counts as refused.

    Raises:
        UserError: the adapter is unusable ("bad_model").
        Exception: any other error that the engine returned.
    """
    if isinstance(answer, BadAdapter):
        raise UserError("bad_model", str(answer)) from answer
    if isinstance(answer, Exception) and not isinstance(answer, PromptTooLong | UserError):
        raise answer
    refused = isinstance(answer, Exception)
    return {
        "candidate": candidate,
        "index": index,
        "text": "" if isinstance(answer, Exception) else answer.text,
        "refused": refused,
        "why": str(answer) if isinstance(answer, Exception) else "",
        "tokens": 0 if isinstance(answer, Exception) else answer.tokens,
        "seconds": 0.0 if isinstance(answer, Exception) else round(answer.seconds, 3),
    }
