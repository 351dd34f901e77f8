"""Job handlers: a room registers one subclass of JobHandler per kind of job in
`AppConfig.ready()`.

A job with a child process: `child_spec`, then `record` for each event of the child, then
`before_finish` and `finish` with its result. A job without one: `run`, then `finish`. Either may
end in `fail` instead. All but `finish` and `fail` may be repeated after an interruption, of which
`interrupt` is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from finetune_app.jobs.kinds import KINDS, JobKind
from finetune_app.jobs.models import Job

Result = dict[str, Any]
"""What the runner of a kind returns, kept in `Job.result`; `stopped` is true after a stop,
`cancelled` where it ended for good without what was wanted."""
Event = dict[str, Any]
"""What a runner emits: its name under `event`, and its own fields."""


class Later(Exception):
    """Raised by `run`: nothing to do for now. The job waits in the queue, without a worker."""

    def __init__(self, seconds: float, message: str) -> None:
        super().__init__(message)
        self.seconds, self.message = seconds, message


@dataclass(frozen=True)
class ChildSpec:
    """What a child process receives."""

    folder: Path
    """Absolute; belongs to this job alone, and is kept when the job continues."""
    spec: Mapping[str, Any]
    """Parameters of the runner, as JSON values."""


class JobHandler:
    """The room's side of one kind of job."""

    kind: ClassVar[JobKind]

    def child_spec(self, job: Job) -> ChildSpec | None:
        """Called when a worker holds the lease. None: this job needs no child, so `run` does it.
        Raises PlainError when the job cannot be done any more, which fails it."""
        return None

    def run(self, job: Job) -> Result:
        """Do the work of a job that needs no child. Called outside a transaction; every
        transaction in it has to renew the lease (lease.write). Raises PlainError as above, and
        Later to be called again after a while."""
        raise NotImplementedError(f"{self.kind.name} jobs need a child")

    def record(self, job: Job, event: Event) -> None:
        """Store an event of the child, in the transaction that renews the lease."""

    def stops_while_waiting(self, job: Job) -> bool:
        """Whether a job in the queue can be stopped without running again, because nothing of it
        goes on elsewhere. If not, `run` is called and has to look at `job.stop_asked`."""
        return True

    def before_finish(self, job: Job, result: Result) -> None:
        """Do what is slow before the transaction of `finish`, which on SQLite holds the only
        write lock."""

    def interrupt(self, job: Job) -> None:
        """Called in the transaction that stops the job, or puts it back into the queue, after its
        child ended without a result."""

    def finish(self, job: Job, result: Result) -> None:
        """Called in the transaction in which the job succeeds or stops."""

    def fail(self, job: Job) -> None:
        """Called in the transaction that fails or cancels the job for good."""


_HANDLERS: dict[str, JobHandler] = {}


def register(handler: JobHandler) -> None:
    """Raises ValueError when the kind is registered already."""
    name = handler.kind.name
    if name in KINDS:
        raise ValueError(f"the kind of job {name!r} is registered twice")
    KINDS[name] = handler.kind
    _HANDLERS[name] = handler


def handler_for(job: Job) -> JobHandler:
    """Raises KeyError when no room has registered the job's kind."""
    return _HANDLERS[job.kind]
