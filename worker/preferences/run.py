"""A preference run's job: one candidate answers every prompt twice, by sampling.

Of each prompt the answers are drawn with different seeds. Where they are the same, or one is of no
use, it is asked again a few times; then the prompt is skipped. A continued job gets the prompts
without answers only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

from finetune_app.datasets.text import normalise
from finetune_app.preferences.job_messages import PreferenceResult, PreferenceSpec, SkipReason
from worker.channel import Channel, Job, UserError
from worker.engine.adapters import BadAdapter
from worker.engine.requests import Completion, GenerationRequest, PromptTooLong
from worker.evaluation.candidate_runner import CandidateRunner, Pair, by_engine
from worker.evaluation.inputs import PromptRow, read_candidates
from worker.evaluation.number_formats import NumberFormats, open_engine
from worker.evaluation.remote import answer_remotely

ROUNDS = 4  # of asking: two answers in the first, the missing ones in the others


def run(job: Job, channel: Channel) -> PreferenceResult:
    """Have every prompt answered twice; returns the result event. See worker.channel."""
    started = time.monotonic()
    runner = PreferenceRunner(cast(PreferenceSpec, job.spec), channel)
    stopped = False
    for group in by_engine(runner.candidates):
        channel.emit("phase", phase="loading", message="Loading the model")
        with open_engine(group, NumberFormats(job.folder)) as engine:
            stopped = runner.ask_in_rounds(partial(runner.answer_all, engine, group))
    if any(candidate.endpoint for candidate in runner.candidates):
        stopped = runner.ask_in_rounds(partial(answer_remotely, runner))
    return {
        "answered": runner.new_answers - runner.skipped,
        "skipped": runner.skipped,
        "stopped": stopped,
        "seconds": round(time.monotonic() - started, 2),
    }


@dataclass
class Drawn:
    """The different answers to one prompt so far."""

    prompt: PromptRow
    answers: list[str] = field(default_factory=list)
    asked: int = 0
    cut_off: int = 0
    done: bool = False

    def add(self, text: str) -> None:
        """Leaves out an empty answer, and one that differs in case and spaces only."""
        known = {normalise(answer) for answer in self.answers} | {""}
        if normalise(text) not in known:
            self.answers.append(text)


class PreferenceRunner(CandidateRunner):
    """Emits two different answers to a prompt as soon as they are there."""

    phase_message = "Answering each prompt twice"
    unit = "prompts"

    def __init__(self, spec: PreferenceSpec, channel: Channel) -> None:
        prompts = [
            PromptRow(given["pair"], index, given["messages"], wanted="")
            for index, given in enumerate(spec["prompts"])
        ]
        (candidate,) = read_candidates([spec["candidate"]])
        sampling = candidate.sampling.copy()
        sampling["temperature"] = spec["temperature"]
        super().__init__(
            channel,
            [replace(candidate, sampling=sampling)],
            prompts,
            max_new_tokens=spec["max_new_tokens"],
            answered=set(),
            done_before=spec["made"],
        )
        self.total += self.done_before
        self.skipped = 0
        self._seed = spec["seed"] * 1_000  # room for the draws of one run
        self._drawn = {prompt.row: Drawn(prompt) for prompt in prompts}

    def ask_in_rounds(self, ask: Callable[[], bool]) -> bool:
        """Have all pending draws answered by `ask`, until each prompt is done; return whether the
        job was stopped."""
        for _round in range(ROUNDS):
            self.rows = self._draws()
            if not self.rows:
                break
            if ask():
                return True
        for drawn in self._drawn.values():
            if not drawn.done:
                self._skip(drawn, "no_answer" if drawn.cut_off else "same")
        return False

    def _draws(self) -> list[PromptRow]:
        """One row an answer to ask for; its index is the number of the draw."""
        found = []
        for drawn in self._drawn.values():
            missing = 0 if drawn.done else 2 - len(drawn.answers)
            found += [replace(drawn.prompt, index=drawn.asked + n) for n in range(missing)]
            drawn.asked += missing
        return found

    def _request(self, pair: Pair) -> GenerationRequest:
        return replace(super()._request(pair), seed=self._seed + pair[1].index)

    def handle_answer(self, pair: Pair, answer: Completion | Exception) -> None:
        drawn = self._drawn[pair[1].row]
        if isinstance(answer, BadAdapter):
            raise UserError("bad_model", str(answer)) from answer
        if isinstance(answer, PromptTooLong | UserError):
            if not drawn.done:
                self._skip(drawn, "no_answer")
            return
        if isinstance(answer, Exception):
            raise answer
        if answer.finish_reason == "length":  # nobody should learn half an answer
            drawn.cut_off += 1
            return
        drawn.add(answer.text)
        if len(drawn.answers) == 2 and not drawn.done:
            first, second = drawn.answers
            self.channel.emit("answers", pair=drawn.prompt.row, first=first, second=second)
            self._finish(drawn)

    def _skip(self, drawn: Drawn, why: SkipReason) -> None:
        self.channel.emit("skipped", pair=drawn.prompt.row, why=why)
        self.skipped += 1
        self._finish(drawn)

    def _finish(self, drawn: Drawn) -> None:
        drawn.done = True
        self.new_answers += 1
        self.report_progress()
