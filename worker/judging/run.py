"""A judge's job: first the control pairs, then the answers of the evaluation, in both orders.

A judge that fails the control pairs is asked nothing more: its opinion would not be shown, and
the answers need not leave this machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from finetune_app.judging.grading import grade_controls
from finetune_app.judging.job_messages import Choice, GivenChoice, JudgeResult, JudgeSpec
from finetune_app.judging.job_messages import Pair as JudgePair
from finetune_app.judging.judge_prompt import judge_messages, read_choice
from worker.channel import Channel, Job, UserError
from worker.engine.requests import Completion, GenerationRequest, PromptTooLong
from worker.evaluation.candidate_runner import CandidateRunner, Pair
from worker.evaluation.inputs import PromptRow, read_candidates
from worker.evaluation.number_formats import NumberFormats, open_engine
from worker.evaluation.remote import answer_remotely

ALTERNATIVES = 20  # likeliest first tokens, among which A, B and T are looked for
MAX_ERRORS_IN_A_ROW = 5  # of a platform, before the job fails and can be continued


def run(job: Job, channel: Channel) -> JudgeResult:
    """Ask the judge of the spec; returns the result event. See worker.channel."""
    started = time.monotonic()
    runner = JudgeRunner(cast(JudgeSpec, job.spec), channel)
    judge = runner.judge
    if judge.base_model:
        channel.emit("phase", phase="loading", message="Loading the judge")
        with open_engine([judge], NumberFormats(job.folder)) as engine:
            stopped = runner.ask(partial(runner.answer_all, engine, [judge]))
    else:
        stopped = runner.ask(partial(answer_remotely, runner))
    return {
        "answers": runner.new_answers,
        "stopped": stopped,
        "seconds": round(time.monotonic() - started, 2),
    }


@dataclass(frozen=True)
class Question:
    """One pair in one order."""

    pair: JudgePair
    swapped: bool

    @property
    def key(self) -> tuple[str, int, bool]:
        return self.pair["kind"], self.pair["index"], self.swapped


class JudgeRunner(CandidateRunner):
    """Emits the judge's choice for each question. A row's id is the number of its question."""

    phase_message = "Asking the judge"
    unit = "questions"

    def __init__(self, spec: JudgeSpec, channel: Channel) -> None:
        self.pairs = spec["pairs"]
        self.questions = [
            Question(pair, swapped) for pair in self.pairs for swapped in (False, True)
        ]
        self.given: list[GivenChoice] = [*spec["given"]]
        self.errors_in_a_row = 0
        (self.judge,) = read_candidates([spec["judge"]])
        before = {(one["kind"], one["index"], one["swapped"]) for one in self.given}
        rows = [
            PromptRow(number, number, judge_messages(one.pair, swapped=one.swapped), wanted="")
            for number, one in enumerate(self.questions)
        ]
        super().__init__(
            channel,
            [self.judge],
            rows,
            max_new_tokens=spec["max_new_tokens"],
            answered={
                (self.judge.id, number)
                for number, one in enumerate(self.questions)
                if one.key in before
            },
        )

    def ask(self, answer_rows: Callable[[], bool]) -> bool:
        """Return whether the job was stopped. `answer_rows` asks what is pending of `self.rows`."""
        everything = self.rows
        for own in (False, True):  # the control pairs, then the evaluation's own
            self.rows = [
                row
                for row in everything
                if (self.questions[row.row].pair["kind"] == "answers") == own
            ]
            if answer_rows():
                return True
            if grade_controls(self.given, self.pairs).bias:
                return False
        return False

    def handle_answer(self, pair: Pair, answer: Completion | Exception) -> None:
        judge, row = pair
        if isinstance(answer, UserError):  # not stored, so that it is asked again
            self.errors_in_a_row += 1
            if self.errors_in_a_row >= MAX_ERRORS_IN_A_ROW:
                raise answer
            return
        self.errors_in_a_row = 0
        self.new_answers += 1
        self.answered.add((judge.id, row.row))
        question = self.questions[row.row]
        given: GivenChoice = {
            "kind": question.pair["kind"],
            "index": question.pair["index"],
            "swapped": question.swapped,
            "choice": choice_of(answer),
        }
        self.given.append(given)
        self.channel.emit("choice", **given)
        self.report_progress()

    def _request(self, pair: Pair) -> GenerationRequest:
        return replace(super()._request(pair), top_logprobs=ALTERNATIVES)


def choice_of(answer: Completion | Exception) -> Choice:
    """The likeliest of A, B and T as the first token; of a remote model, what it wrote.

    Raises:
        Exception: any error of the engine other than a prompt that is too long.
    """
    if isinstance(answer, PromptTooLong):
        return "none"
    if isinstance(answer, Exception):
        raise answer
    if not answer.logprobs:
        return read_choice(answer.text)
    likely = sorted(answer.logprobs[0]["top_logprobs"], key=lambda one: -one["logprob"])
    letters = [read_choice(one["token"]) for one in likely]
    return next((letter for letter in letters if letter != "none"), "none")
