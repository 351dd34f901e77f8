"""Interface of a job's runner: the job, the channel to the supervisor, and two exceptions.

Every kind (training, evaluation, import, install) is a module with
``run`` of type `Run`. The child process builds both arguments; tests
pass a channel that only records.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypedDict


@dataclass(frozen=True)
class Job:
    """A job as read from the first line of the child's input."""

    kind: str
    """The name of its JobKind, such as training, evaluation or import."""
    folder: Path
    """Absolute folder of this job only; running the job there again continues it."""
    spec: Mapping[str, Any]
    """Parameters, fixed when the job was created."""


class Order(TypedDict):
    """The first line that a child reads. A warm child has started before it is known."""

    kind: str
    runner: str
    """Module with `run(job, channel)`."""
    folder: str
    spec: Mapping[str, Any]
    lease: float
    """Duration of a lease in seconds."""
    at: float
    """Time of the last renewal on boot_clock."""
    request_id: str
    """Of the request that started the job, for the log; empty for the clock's jobs."""
    job_id: int
    lock: str
    """File that the child locks while it runs."""


class Channel(Protocol):
    """Reports progress and tells whether the job should stop."""

    def emit(self, event: str, **fields: Any) -> None:
        """Send one event (phase, progress, point, sample, checkpoint, log) to the supervisor."""

    def stopping(self) -> bool:
        """True after Stop was pressed: save the result so far and return."""

    def check(self) -> None:
        """Raises LeaseLost if this process may no longer own the job; call it at every step."""


Run = Callable[[Job, Channel], Mapping[str, Any]]
"""Returns the result; `stopped` is true after a stop."""


class LeaseLost(Exception):
    """The lease expired: another worker may own the job, so exit without writing."""


class UserError(Exception):
    """An expected failure that the user can act on.

    `code` is one of out_of_memory, no_disk, bad_model, bad_data, not_text, remote, not_the_same;
    `message` says what happened, why, and what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
