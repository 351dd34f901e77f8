"""An evaluation: all candidates answer all test prompts, then what else changed is checked.

Answers are reported as they come. A continued job gets the list of its answers so far
(`answered`) and computes the rest in the same number format. Candidates that share an engine answer
in one batch; engines are opened one after the other, so that only one base model is in memory.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

from finetune_app.core.engine_protocol import NF4
from finetune_app.core.tool_calls import compared_text
from finetune_app.evaluation.job_messages import (
    AnswerEvent,
    EvaluationResult,
    EvaluationSpec,
    TrivialAnswersEvent,
)
from finetune_app.goals.measures import MeaningSimilarity, Measure, get_measure
from worker.channel import Channel, Job, UserError
from worker.engine.adapters import BadAdapter
from worker.engine.engine import Engine
from worker.engine.model_loader import fits_beside
from worker.engine.requests import Completion, PromptTooLong
from worker.evaluation import trivial_baselines
from worker.evaluation.candidate_runner import CandidateRunner, Pair, by_engine
from worker.evaluation.general_check.check import check_general
from worker.evaluation.inputs import Candidate, PromptRow, read_candidates, read_test_rows
from worker.evaluation.number_formats import NumberFormats, load_engine, open_engine
from worker.evaluation.paired_engine import PairedEngine
from worker.evaluation.probes.run import run_probes
from worker.evaluation.remote import answer_remotely
from worker.knowledge.embedding import shared_embedder

LATENCY_SAMPLES = 3  # answers of each candidate that are timed alone
ANSWERS_PER_EVENT = 50  # of a trivial baseline
MAX_LATENCY_SECONDS = 4.0  # after so long, no further answer is timed


def run(job: Job, channel: Channel) -> EvaluationResult:
    """Do the whole evaluation; returns the result event. See worker.channel."""
    started, spec = time.monotonic(), cast(EvaluationSpec, job.spec)
    runner = EvaluationRunner(spec, channel)
    formats = NumberFormats(job.folder)
    stopped = False
    for group in by_engine(runner.candidates):
        channel.emit("phase", phase="loading", message="Loading the model")
        with open_engine(group, formats) as engine:
            stopped = runner.answer_all(engine, group)
            if not stopped:
                runner.measure_latency(engine, group)
            stopped = stopped or runner.check_tuned(engine, group, job, spec)
        if stopped:
            break
    stopped = stopped or answer_remotely(runner)
    if not stopped and not runner.measure.needs_person:
        runner.score_trivial_baselines(Path(spec["version"]))
    return {
        "prompts": len(runner.rows),
        "candidates": len(runner.candidates),
        "answers": runner.new_answers,
        "number_formats": {
            str(one.id): formats.of(one) for one in runner.candidates if one.base_model
        },
        "seconds": round(time.monotonic() - started, 2),
        "stopped": stopped,
    }


class EvaluationRunner(CandidateRunner):
    """Scores each answer by the goal's measure and emits it."""

    def __init__(self, spec: EvaluationSpec, channel: Channel) -> None:
        super().__init__(
            channel,
            read_candidates(spec["candidates"]),
            read_test_rows(Path(spec["version"]), spec.get("test_rows") or ()),
            max_new_tokens=int(spec.get("max_new_tokens", 256)),
            answered={(candidate, row) for candidate, row in spec.get("answered") or []},
        )
        measure = spec["measure"]
        self.measure: Measure = get_measure(measure["kind"], measure.get("settings"))
        if isinstance(self.measure, MeaningSimilarity):
            self.measure.use_embedder(shared_embedder().embed_passages)

    def score_trivial_baselines(self, version: Path) -> None:
        """Emit what answers that need no model score on the same prompts."""
        self.channel.emit("phase", phase="baselines", message="Comparing with answers by no model")
        training = trivial_baselines.read_training_rows(version)
        for baseline, answers in trivial_baselines.trivial_answers(
            self.rows, training, self.measure
        ):
            scored = trivial_baselines.scored(self.rows, answers, self.measure)
            for start in range(0, len(scored), ANSWERS_PER_EVENT):
                self.channel.check()
                event: TrivialAnswersEvent = {
                    "baseline": baseline,
                    "answers": scored[start : start + ANSWERS_PER_EVENT],
                }
                self.channel.emit("trivial_answers", **event)

    def measure_latency(self, engine: Engine, group: list[Candidate]) -> None:
        """Emit each candidate's median seconds for one answer when nothing else is running.

        The rows of a batch share its time, so batch times say nothing about one answer. A few
        prompts of medium length are timed.
        """
        by_length = sorted(self.rows, key=lambda row: len(row.search_query))
        middle = len(by_length) // 2
        for candidate in group:
            seconds: list[float] = []
            for row in by_length[middle : middle + LATENCY_SAMPLES]:
                self.channel.check()
                if self.channel.stopping():
                    return
                if sum(seconds) > MAX_LATENCY_SECONDS:
                    break  # the median of few answers rather than a long wait for the verdict
                prompt = self.prompt_for(candidate, row)
                request = candidate.request(prompt.messages, self.max_new_tokens, row.tools)
                try:
                    seconds.append(engine.generate([request])[0].seconds)
                except (PromptTooLong, UserError):
                    continue
            if seconds:
                self.channel.emit(
                    "latency", candidate=candidate.id, seconds=round(statistics.median(seconds), 3)
                )

    def check_tuned(
        self, engine: Engine, group: list[Candidate], job: Job, spec: EvaluationSpec
    ) -> bool:
        """Check what else changed in each tuned candidate; return whether the job was stopped."""
        base, number_format = _base_beside(engine, group)
        if base is None or not (spec.get("general") or spec.get("learned_from")):
            return self._compare_with_base(engine, group, job, spec)
        self.channel.emit("phase", phase="loading", message="Loading the base model beside it")
        as_adapters = [
            replace(one, adapter=one.base_model, base_model=base) if one.tuned_from else one
            for one in group
        ]
        with load_engine(base, number_format) as base_engine:
            pair = PairedEngine(base_engine, engine)
            return self._compare_with_base(pair, as_adapters, job, spec)

    def _compare_with_base(
        self,
        engine: Engine | PairedEngine,
        group: list[Candidate],
        job: Job,
        spec: EvaluationSpec,
    ) -> bool:
        wanted = [row.wanted for row in self.rows]
        cache = job.folder.parent / "general-cache"
        stopped = bool(spec.get("general")) and check_general(
            engine, group, wanted=wanted, cache=cache, channel=self.channel
        )
        if stopped or not spec.get("learned_from"):
            return stopped
        return run_probes(
            engine,
            group,
            wanted=wanted,
            learned_from=Path(spec["learned_from"]),
            folder=job.folder,
            cache=cache,
            channel=self.channel,
        )

    def handle_answer(self, pair: Pair, answer: Completion | Exception) -> None:
        self.new_answers += 1
        event = scored(*pair, answer, self.measure)
        event["passages"] = [
            {"document": one.document, "page": one.page, "at": one.at}
            for one in self.prompt_for(*pair).passages
        ]
        self.channel.emit("answer", **event)
        self.report_progress()


def _base_beside(engine: Engine, group: list[Candidate]) -> tuple[Path | None, str]:
    """The base model that has to be loaded beside an engine, to compare with, and its number
    format; None where the engine itself can answer as the base model."""
    if engine.number_format == NF4:
        fits = fits_beside(engine.loaded.model)
        return (group[0].base_model if fits else None), "bf16"
    return next((one.tuned_from for one in group if one.tuned_from), None), engine.number_format


def scored(
    candidate: Candidate, row: PromptRow, answer: Completion | Exception, measure: Measure
) -> AnswerEvent:
    """The answer event. A prompt that the candidate could not be asked counts as failed; where a
    person decides, it is an answer that says nothing, for them to judge.

    Raises:
        UserError: the adapter is unusable ("bad_model").
        Exception: any other error that the engine returned.
    """
    event: AnswerEvent = {
        "candidate": candidate.id,
        "row": row.row,
        "index": row.index,
        "text": "",
        "passed": None,
        "score": None,
        "why": "",
        "tokens": 0,
        "seconds": 0.0,
        "finish_reason": "refused",
    }
    if isinstance(answer, PromptTooLong | UserError):
        event["why"] = str(answer)
        if not measure.needs_person:
            event.update({"passed": False, "score": 0.0})
        return event
    if isinstance(answer, BadAdapter):
        raise UserError("bad_model", str(answer)) from answer
    if isinstance(answer, Exception):
        raise answer
    text = compared_text(answer.text, row.tools)
    event.update(
        {
            "text": text,
            "thought": answer.thought,
            "tokens": answer.tokens,
            "prompt_tokens": answer.prompt_tokens,
            "seconds": round(answer.seconds, 3),
            "finish_reason": answer.finish_reason,
        }
    )
    if not measure.needs_person:
        score = measure.check(text, row.wanted)
        why = score.why
        if answer.finish_reason == "length" and not score.passed:
            why = f"Cut off after {answer.tokens:,} tokens. {why}"
        event.update({"passed": score.passed, "score": score.value, "why": why})
    return event
