"""What a kind of work receives and how it talks back: a job, a channel, two exceptions.

Every kind (training, evaluation, import, install) is a module with
``run(job: Job, channel: Channel) -> dict``. The child process builds both arguments; tests
pass a channel that only records.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Job:
    """One piece of work, as read from the child's first line of input."""

    kind: str
    """training, evaluation, import, install, index, check, change, suggest, export or drift."""
    folder: Path
    """Absolute folder that belongs to this job alone; running it again there continues it."""
    spec: dict[str, Any]
    """What to do, frozen when the job was created."""


class Channel(Protocol):
    """How work reports, and how it learns that it should end."""

    def emit(self, event: str, **fields: Any) -> None:
        """Send one event (phase, progress, point, sample, checkpoint, log) upwards."""

    def stopping(self) -> bool:
        """True once the person has pressed Stop: save what is there and return."""

    def check(self) -> None:
        """Raise `LeaseLost` when this process may no longer own the job; call every step."""


class LeaseLost(Exception):
    """The lease ran out: somebody else may own the job now, so end without writing more."""


class UserError(Exception):
    """An expected failure that a person can act on.

    `code` is one of out_of_memory, no_disk, bad_model, bad_data, not_text, remote, not_the_same;
    `message` says in plain words what happened, why, and what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
