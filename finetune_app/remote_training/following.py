"""Having something that costs money done elsewhere, and following it: what is the same everywhere.

Each run of the job makes the next step that is due and waits again (`Later`), so that it holds no
worker while the other side works. What may have been sent is written before it is sent: killed at
any point, the next run looks for it there before it sends anything again.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.core.errors import PlainError
from finetune_app.jobs import lease
from finetune_app.jobs.handlers import JobHandler, Later, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job
from finetune_app.remote_training.models import TrainingElsewhere
from finetune_app.remote_training.platforms.contract import PlatformError, UnknownJob

# A request without an answer may still arrive, so its end is waited for, and then longer than a
# platform is given to answer (60 s, the clients' own limit at most).
SETTLE_SECONDS = 180.0
FIRST_POLL_SECONDS, MORE_A_POLL_SECONDS = 10.0, 5.0
MAX_RETRY_SECONDS = 900.0
MAX_UNKNOWN = 5  # answers in a row that the job is not known there
MAX_CANCEL_TRIES = 10  # in a row without an answer, which takes more than an hour


class LeaseLost(Exception):
    """Another worker has the job, or its row is gone."""


class JobThere(Protocol):
    """A job as the other side tells it; `state` in its own word."""

    @property
    def job_id(self) -> str: ...

    @property
    def state(self) -> str: ...


Row = TypeVar("Row", bound=TrainingElsewhere)
Found = TypeVar("Found", bound=JobThere)


class Following(ABC, Generic[Row, Found]):
    """One step of a training elsewhere, under the lease of its job.

    What talks to the other side may raise PlatformError.
    """

    max_poll_seconds: ClassVar[float]

    def __init__(self, job: Job, training: Row) -> None:
        self.job, self.training = job, training

    @abstractmethod
    def send(self) -> None:
        """Send what it needs, unless all of it is there."""

    @abstractmethod
    def find(self) -> Found | None:
        """The job there with the mark of this training."""

    def check_before_start(self) -> None:
        """Raises PlainError where it may not be started any more, and Later where not yet."""

    @abstractmethod
    def start(self) -> Found: ...

    @abstractmethod
    def cancel(self) -> None: ...

    @abstractmethod
    def poll(self) -> Found: ...

    @abstractmethod
    def is_over(self, found: Found) -> bool: ...

    @abstractmethod
    def keep(self, found: Found) -> None:
        """Record how it stands there. Resets the counters of failures."""

    @abstractmethod
    def result_of(self, found: Found) -> Result | None:
        """What came of it; None while it is not over. Raises PlainError where it failed."""

    @abstractmethod
    def take_back(self) -> None:
        """Delete what was sent, as far as the other side lets us."""

    def step_or_wait(self) -> Result:
        """Raises Later until it is over there, and PlainError when it failed."""
        try:
            return self.step()
        except PlatformError as problem:
            raise self.postponed(problem) from None

    def step(self) -> Result:
        if not self.training.remote_id:
            if self.job.stop_asked and self.training.start_tried_at is None:
                return self.over({"cancelled": True})
            self.send()
            if not self.begin():
                return self.over({"cancelled": True})
        found = self.ask()
        self.keep(found)
        result = self.result_of(found)
        if result is None:
            raise Later(self.poll_seconds(), _("It runs there: %(state)s") % {"state": found.state})
        return self.over(result)

    def begin(self) -> bool:
        """Start it there unless it was started already; False when it is not wanted any more."""
        training = self.training
        if training.start_tried_at:
            if known := self.find():
                self.save(remote_id=known.job_id)
                return True
            since = (timezone.now() - training.start_tried_at).total_seconds()
            if since < SETTLE_SECONDS:
                wait = min(10.0, SETTLE_SECONDS - since)
                raise Later(wait, _("Looking whether it was started already."))
            self.save(start_tried_at=None)  # it never arrived
        if self.stop_asked():
            return False
        self.check_before_start()
        self.save(start_tried_at=timezone.now())
        try:
            started = self.start()
        except PlatformError as problem:
            is_refused = problem.retry_after is None  # so nothing was started
            self.save(start_tried_at=None if is_refused else timezone.now())
            raise
        self.save(remote_id=started.job_id)
        return True

    def ask(self) -> Found:
        """How it stands there; cancelled first where that is wanted.

        What cannot be cancelled may be over already, so a cancel is tried again only while it runs.
        """
        problem = self.try_to_cancel()
        found = self.poll()
        if problem and problem.retry_after is not None and not self.is_over(found):
            raise problem
        return found

    def try_to_cancel(self) -> PlatformError | None:
        if self.stop_asked() and not self.training.has_ended_there:
            try:
                self.cancel()
            except PlatformError as problem:
                return problem
        return None

    def over(self, result: Result) -> Result:
        self.take_back()
        return result

    def postponed(self, problem: PlatformError) -> Exception:
        """What to do about a call that failed: once it may run there it is never given up soon."""
        training = self.training
        is_unknown = isinstance(problem, UnknownJob)
        times_unknown = training.times_unknown + 1 if is_unknown else 0
        is_hopeless = problem.retry_after is None or times_unknown >= MAX_UNKNOWN
        if training.start_tried_at is None and is_hopeless:
            self.take_back()
            return PlainError(problem.message)
        self.save(failures=training.failures + 1, times_unknown=times_unknown)
        if times_unknown >= MAX_UNKNOWN:
            return PlainError(
                _(
                    "%(why)s Perhaps the account is another one now. If it runs there, it costs: "
                    "look there yourself."
                )
                % {"why": problem.message}
            )
        if self.job.stop_asked and training.failures >= MAX_CANCEL_TRIES:
            return PlainError(
                _(
                    "It could not be cancelled: %(why)s It may still run there, and cost. Cancel "
                    "it there yourself."
                )
                % {"why": problem.message}
            )
        doubled = FIRST_POLL_SECONDS * 2 ** min(training.failures, 10)
        wait = max(problem.retry_after or 0.0, doubled)
        return Later(min(wait, MAX_RETRY_SECONDS), problem.message)

    def poll_seconds(self) -> float:
        """Often at first, then less and less."""
        wanted = FIRST_POLL_SECONDS + MORE_A_POLL_SECONDS * self.training.polls
        return min(wanted, self.max_poll_seconds)

    def stop_asked(self) -> bool:
        self.job.refresh_from_db(fields=["stop_asked"])
        return self.job.stop_asked

    def save(self, **fields: Any) -> None:
        """Write to the training under the lease. Raises LeaseLost."""
        with transaction.atomic():
            self.renew()
            for name, value in fields.items():
                setattr(self.training, name, value)
            self.training.save(update_fields=list(fields))

    def renew(self, **fields: Any) -> None:
        """Write to the job, and keep its lease. Raises LeaseLost."""
        written = lease.write(self.job, **fields) if fields else lease.renew(self.job)
        if not written:
            raise LeaseLost


class FollowingHandler(JobHandler):
    """The handler of a job that follows a training elsewhere."""

    def following(self, job: Job) -> Following[Any, Any]:
        """Raises PlainError where nobody can be asked any more."""
        raise NotImplementedError

    def stops_while_waiting(self, job: Job) -> bool:
        """Before its first run nothing was sent."""
        return Job.objects.filter(pk=job.pk, started_at=None).exists()

    def run(self, job: Job) -> Result:
        try:
            return self.following(job).step_or_wait()
        except LeaseLost:
            return {}


def following_kind(name: str) -> JobKind:
    return JobKind(
        name=name,
        interrupted=gettext_lazy("Looking how far it came before the interruption."),
        stopping=gettext_lazy("Cancelling it there."),
    )
