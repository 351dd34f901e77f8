"""An evaluation: all candidates answer all test prompts, then the general check.

Answers are reported as they come. A job that was stopped or killed is given the answers it
already has (`answered`) and goes on with the rest, in the number format it began with. Candidates
that share a base model answer in one batch; base models come one after the other, so that only
one is in memory.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from finetune_app.goals.measures import Measure, get_measure
from worker.channel import Channel, Job, UserError
from worker.engine.adapters import BadAdapter
from worker.engine.engine import Engine
from worker.engine.requests import Completion, PromptTooLong
from worker.evaluation.general_check.check import check_general
from worker.evaluation.inputs import Candidate, PromptRow, read_candidates, read_test_rows
from worker.evaluation.number_formats import NumberFormats, open_engine
from worker.evaluation.remote import answer_remotely
from worker.evaluation.runner import CandidateRunner, Pair, by_base_model

TIMED = 3  # answers of each candidate that are timed alone, if it answers quickly
TIMING_SECONDS = 4.0  # after so long no further one is begun


def run(job: Job, channel: Channel) -> dict[str, Any]:
    """Do the whole evaluation; returns the result event. See the contract of Channel."""
    started, spec = time.monotonic(), job.spec
    runner = EvaluationRunner(job, channel)
    formats = NumberFormats(job.folder)
    stopped = False
    for base, group in by_base_model(runner.candidates).items():
        channel.emit("phase", phase="loading", message="Loading the model")
        with open_engine(base, group, formats) as engine:
            stopped = runner.answer(engine, group)
            if not stopped:
                runner.time_alone(engine, group)
            if spec.get("general") and not stopped:
                stopped = check_general(
                    engine,
                    group,
                    wanted=[question.wanted for question in runner.questions],
                    cache=job.folder.parent / "general-cache",
                    channel=channel,
                )
        if stopped:
            break
    stopped = stopped or answer_remotely(runner)
    return {
        "prompts": len(runner.questions),
        "candidates": len(runner.candidates),
        "answers": runner.new,
        "number_formats": {
            str(one.id): formats.of(one.base_model) for one in runner.candidates if one.base_model
        },
        "seconds": round(time.monotonic() - started, 2),
        "stopped": stopped,
    }


class EvaluationRunner(CandidateRunner):
    """An CandidateRunner whose answers are judged by the goal's measure."""

    def __init__(self, job: Job, channel: Channel) -> None:
        spec = job.spec
        super().__init__(
            channel,
            read_candidates(spec["candidates"]),
            read_test_rows(Path(spec["version"])),
            limit=int(spec.get("max_new_tokens", 256)),
            answered={(candidate, row) for candidate, row in spec.get("answered") or []},
        )
        self.measure: Measure = get_measure(
            spec["measure"]["kind"], spec["measure"].get("settings")
        )

    def time_alone(self, engine: Engine, group: list[Candidate]) -> None:
        """How long each takes for one answer when nobody else asks: what a person waits for.

        A batch shares its time among all its rows, so nothing can be read off there. A few
        questions of middling length are asked, and the median counts.
        """
        by_length = sorted(self.questions, key=lambda q: len(q.sought))
        middle = len(by_length) // 2
        for candidate in group:
            seconds: list[float] = []
            for question in by_length[middle : middle + TIMED]:
                self.channel.check()
                if self.channel.stopping():
                    return
                if sum(seconds) > TIMING_SECONDS:
                    break  # the median of few answers, rather than a long wait for the verdict
                asked = candidate.request(self.asked(candidate, question).messages, self.limit)
                try:
                    seconds.append(engine.generate([asked])[0].seconds)
                except (PromptTooLong, UserError):
                    continue
            if seconds:
                self.channel.emit(
                    "latency", candidate=candidate.id, seconds=round(statistics.median(seconds), 3)
                )

    def take(self, pair: Pair, item: Completion | Exception) -> None:
        """Judge one answer and pass it on."""
        self.new += 1
        used = [
            {"document": one.document, "page": one.page, "at": one.at}
            for one in self.asked(*pair).passages
        ]
        self.channel.emit("answer", **judged(*pair, item, self.measure), passages=used)
        self.report()


def judged(
    candidate: Candidate, question: PromptRow, item: Completion | Exception, measure: Measure
) -> dict[str, Any]:
    """The answer event. A candidate that could not answer this prompt failed it, and says why."""
    event: dict[str, Any] = {
        "candidate": candidate.id,
        "row": question.row,
        "index": question.index,
    }
    if isinstance(item, PromptTooLong | UserError):
        empty = {"text": "", "tokens": 0, "seconds": 0.0, "finish_reason": "refused"}
        return event | empty | {"passed": False, "score": 0.0, "why": str(item)}
    if isinstance(item, BadAdapter):
        raise UserError("bad_model", str(item)) from item
    if isinstance(item, Exception):
        raise item
    event |= {
        "text": item.text,
        "tokens": item.tokens,
        "prompt_tokens": item.prompt_tokens,
        "seconds": round(item.seconds, 3),
        "finish_reason": item.finish_reason,
    }
    if measure.needs_person:
        return event | {"passed": None, "score": None, "why": ""}
    score = measure.check(item.text, question.wanted)
    why = score.why
    if item.finish_reason == "length" and not score.passed:
        why = f"Cut off after {item.tokens:,} tokens. {why}"
    return event | {"passed": score.passed, "score": score.value, "why": why}
