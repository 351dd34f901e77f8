"""Candidates that answer elsewhere: a few questions at a time, over the network."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from finetune_app.providers.client import RemoteError, Target, answer
from worker.channel import UserError
from worker.engine.requests import Completion

if TYPE_CHECKING:
    from worker.evaluation.runner import CandidateRunner, Pair

AT_ONCE = 4  # polite, and still several times faster than one by one
TICK = 0.5  # seconds between looks at the lease and the stop button


def answer_remotely(runner: CandidateRunner) -> bool:
    """Have the pairs of all remote candidates answered; returns whether the person stopped it.

    Raises UserError where a platform answers nothing at all: the key, the address or the network
    is wrong then, and the job can go on once that is mended.
    """
    pairs = runner.left_to_do([one for one in runner.candidates if one.endpoint])
    if not pairs:
        return False
    runner.channel.emit("phase", phase="runner", message="CandidateRunner the model elsewhere")
    answered = {candidate for candidate, _row in runner.answered}
    pool = ThreadPoolExecutor(AT_ONCE)
    waiting = {pool.submit(_ask, runner, pair): pair for pair in pairs}
    try:
        while waiting:
            runner.channel.check()
            if runner.channel.stopping():
                return True
            done, _rest = wait(waiting, TICK, FIRST_COMPLETED)
            for future in done:
                pair = waiting.pop(future)
                runner.take(pair, _said(future, pair[0].id in answered))
                answered.add(pair[0].id)
    finally:  # what is under way is not waited for: this process ends soon
        pool.shutdown(wait=False, cancel_futures=True)
    return False


def _ask(runner: CandidateRunner, pair: Pair) -> Completion:
    candidate, question = pair
    assert candidate.endpoint is not None
    found = answer(
        Target.from_json(candidate.endpoint),
        runner.asked(candidate, question).messages,
        max_tokens=runner.limit,
        temperature=float(candidate.sampling.get("temperature", 0)),
    )
    return Completion(
        found.text,
        found.tokens_out or 0,
        found.finish_reason or "stop",
        found.seconds,
        prompt_tokens=found.tokens_in or 0,
    )


def _said(future: Future[Completion], answered_before: bool) -> Completion | UserError:
    """One question that is refused is that candidate's failure; a platform that has answered
    nothing yet is a fault to mend."""
    try:
        return future.result()
    except RemoteError as problem:
        error = UserError("remote", problem.message)
        if answered_before:
            return error
        raise error from problem
