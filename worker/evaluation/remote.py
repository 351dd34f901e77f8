"""Candidates that are remote models: a few requests at a time, over the network."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from finetune_app.providers.client import RemoteError, Target, answer
from worker.channel import UserError
from worker.engine.requests import Completion
from worker.evaluation.candidate_runner import CandidateRunner, Pair

CONCURRENT_REQUESTS = 4  # few enough for rate limits, several times faster than one
NO_TOOLS = "This row has tools, and models elsewhere are asked without tools here."
POLL_SECONDS = 0.5  # between checks of the lease and the stop button


def answer_remotely(runner: CandidateRunner) -> bool:
    """Have the pending pairs of all remote candidates answered; return whether it was stopped.

    Raises:
        UserError: a platform answers nothing at all ("remote"). Then the key, the address or the
            network is wrong, and the job can be continued once that is fixed.
    """
    pairs = runner.pending_pairs([one for one in runner.candidates if one.endpoint])
    if not pairs:
        return False
    runner.channel.emit("phase", phase="asking", message="Asking the model elsewhere")
    for pair in [pair for pair in pairs if pair[1].tools]:
        pairs.remove(pair)
        runner.handle_answer(pair, UserError("bad_data", NO_TOOLS))
    answered = {candidate for candidate, _row in runner.answered}
    pool = ThreadPoolExecutor(CONCURRENT_REQUESTS)
    waiting = {pool.submit(_request, runner, pair): pair for pair in pairs}
    try:
        while waiting:
            runner.channel.check()
            if runner.channel.stopping():
                return True
            done, _rest = wait(waiting, POLL_SECONDS, FIRST_COMPLETED)
            # Answers first: an error may end the job, and they are paid for.
            for future in sorted(done, key=lambda one: one.exception() is not None):
                pair = waiting.pop(future)
                runner.handle_answer(pair, _result(future, pair[0].id in answered))
                answered.add(pair[0].id)
    finally:  # not waiting for requests under way: this process ends soon
        pool.shutdown(wait=False, cancel_futures=True)
    return False


def _request(runner: CandidateRunner, pair: Pair) -> Completion:
    candidate, row = pair
    assert candidate.endpoint is not None
    found = answer(
        Target.from_json(candidate.endpoint),
        runner.prompt_for(candidate, row).messages,
        max_tokens=runner.max_new_tokens,
        temperature=float(candidate.sampling.get("temperature", 0)),
    )
    return Completion(
        found.text,
        found.tokens_out or 0,
        found.finish_reason or "stop",
        found.seconds,
        prompt_tokens=found.tokens_in or 0,
    )


def _result(future: Future[Completion], answered_before: bool) -> Completion | UserError:
    """The completion, or the error of a rejected request, which counts as a failed answer.

    Raises UserError when the platform has answered no request so far: the connection is at fault.
    """
    try:
        return future.result()
    except RemoteError as problem:
        error = UserError("remote", problem.message)
        if answered_before:
            return error
        raise error from problem
