"""Candidates that are remote models: a few requests at a time, over the network."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress

from finetune_app.providers.client import RemoteError, Target, answer, sampling_options
from worker.channel import UserError
from worker.engine.requests import Completion
from worker.evaluation.candidate_runner import CandidateRunner, Pair
from worker.evaluation.inputs import Candidate

CONCURRENT_REQUESTS = 4  # few enough for rate limits, several times faster than one
NO_TOOLS = "This row has tools, and models elsewhere are asked without tools here."
MAX_ERRORS_IN_A_ROW = 5  # of a platform, before it is asked nothing more
KEPT = "All answers so far are kept: continue once this is mended, and only the rest is asked."
ONLY_THIS = "It answers other questions, and not this one, however often it is asked."
OTHER_QUESTIONS = 3  # asked again at most, until one is answered
POLL_SECONDS = 0.5  # between checks of the lease and the stop button


def answer_remotely(runner: CandidateRunner) -> bool:
    """Have the pending pairs of all remote candidates answered; return whether it was stopped.

    Raises:
        UserError: a platform answers nothing at all, or nothing any more, or a prompt was left
            without an answer ("remote"). Then the key, the account, the address or the network is
            wrong, and the job can be continued once that is fixed.
    """
    pairs = runner.pending_pairs([one for one in runner.candidates if one.endpoint])
    if not pairs:
        return False
    runner.channel.emit("phase", phase="asking", message="Asking the model elsewhere")
    for pair in [pair for pair in pairs if pair[1].tools]:
        pairs.remove(pair)
        runner.handle_answer(pair, UserError("bad_data", NO_TOOLS))
    replies = _Replies(runner)
    pool = ThreadPoolExecutor(CONCURRENT_REQUESTS)
    waiting = {pool.submit(replies.request, pair): pair for pair in pairs}
    try:
        while waiting:
            runner.channel.check()
            if runner.channel.stopping():
                return True
            done, _rest = wait(waiting, POLL_SECONDS, FIRST_COMPLETED)
            # Answers first: an error may end the job, and they are paid for.
            for future in sorted(done, key=lambda one: one.exception() is not None):
                replies.add(waiting.pop(future), future)
    finally:  # not waiting for requests under way: this process ends soon
        pool.shutdown(wait=False, cancel_futures=True)
    replies.require_all()
    return False


class _Replies:
    """Passes on answers, and as failed ones the questions that the platform rejects or errs at each
    time. No other error is an answer: what met one is asked again when the job is continued.

    A platform that rejects whatever it is asked is misconfigured, so a rejected question only
    counts once the candidate has answered another.
    """

    def __init__(self, runner: CandidateRunner) -> None:
        self.runner = runner
        self.answered = {candidate for candidate, _row in runner.answered}
        self.answered_now: list[Pair] = []
        self.rejected: list[tuple[Pair, RemoteError]] = []  # before the first answer
        self.errors_in_a_row = Counter[int]()  # by candidate: each has a platform of its own
        self.unanswered: RemoteError | None = None  # the last error of those that left a gap

    def add(self, pair: Pair, future: Future[Completion]) -> None:
        candidate = pair[0].id
        try:
            answer = future.result()
        except RemoteError as problem:
            self._add_error(pair, problem)
            return
        self.answered.add(candidate)
        self.answered_now.append(pair)
        self.errors_in_a_row[candidate] = 0
        self.runner.handle_answer(pair, answer)

    def _add_error(self, pair: Pair, problem: RemoteError) -> None:
        candidate = pair[0].id
        if problem.about_question and candidate in self.answered:
            self.runner.handle_answer(pair, UserError("remote", problem.message))
            return
        if problem.about_question:
            self.rejected.append((pair, problem))
        elif candidate in self.answered:
            self.unanswered = problem
        else:
            raise _failure(problem) from problem
        self.errors_in_a_row[candidate] += 1
        if self.errors_in_a_row[candidate] >= MAX_ERRORS_IN_A_ROW:
            raise _failure(problem) from problem

    def require_all(self) -> None:
        """Pass on what was rejected before the first answer. Raises UserError if a prompt is left
        without an answer."""
        for pair, problem in self.rejected:
            if pair[0].id in self.answered:
                self.runner.handle_answer(pair, UserError("remote", problem.message))
            else:
                self.unanswered = problem
        if self.unanswered:
            raise _failure(self.unanswered)

    def request(self, pair: Pair) -> Completion:
        """Ask, and once more where the platform errs but answers another question meanwhile.

        Runs in a thread of its own. Raises RemoteError; it is about the question if only this one
        is not answered.
        """
        try:
            return _request(self.runner, pair)
        except RemoteError as problem:
            if problem.about_question is not None or not self._answers_another(pair[0]):
                raise
        try:
            return _request(self.runner, pair)
        except RemoteError as problem:
            if problem.about_question is None:
                raise RemoteError(f"{problem.message} {ONLY_THIS}", about_question=True) from None
            raise

    def _answers_another(self, candidate: Candidate) -> bool:
        now = [pair for pair in self.answered_now if pair[0] is candidate]
        rows = [row for row in self.runner.rows if (candidate.id, row.row) in self.runner.answered]
        for pair in [*now, *((candidate, row) for row in rows)][:OTHER_QUESTIONS]:
            with suppress(RemoteError):
                _request(self.runner, pair)
                return True
        return False


def _failure(problem: RemoteError) -> UserError:
    return UserError("remote", f"{problem.message} {KEPT}")


def _request(runner: CandidateRunner, pair: Pair) -> Completion:
    candidate, row = pair
    assert candidate.endpoint is not None
    found = answer(
        Target.from_json(candidate.endpoint),
        runner.prompt_for(candidate, row).messages,
        max_tokens=runner.max_new_tokens,
        options=sampling_options(candidate.sampling),
    )
    return Completion(
        found.text,
        found.tokens_out or 0,
        found.finish_reason or "stop",
        found.seconds,
        prompt_tokens=found.tokens_in or 0,
    )
