"""What a training platform has to offer, whichever it is.

A platform never posts twice what it may have posted before: `start` gives the platform the mark of
the order, and `find` looks for it. Nothing here uses the database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol


class PlatformError(Exception):
    """The platform refused, or did not answer. The message is for the user, without the key.

    retry_after: seconds after which to ask again; None where that would not help.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message, self.retry_after = message, retry_after


class UnknownJob(PlatformError):
    """The platform does not know the job."""


@dataclass(frozen=True)
class Order:
    """What to train, and how.

    mark: unique, letters and digits; the platform keeps it with everything that is made for this
    order. hyperparameters: without those that the platform chooses. agreed_cost: the most that it
    may cost; None where no price is known.
    """

    mark: str
    model: str
    method: str
    suffix: str
    hyperparameters: Mapping[str, float]
    seed: int
    agreed_cost: Decimal | None = None


@dataclass(frozen=True)
class RemoteJob:
    """A job as the platform tells it. `state` is succeeded, failed, cancelled, or the
    platform's own word while it is not over."""

    job_id: str
    state: str
    model: str = ""
    """Name of the tuned model there; empty until it has succeeded."""
    trained_tokens: int | None = None
    error: str = ""
    finishes_at: int | None = None
    """Seconds since 1970, as the platform expects."""


@dataclass(frozen=True)
class RemoteEvent:
    event_id: str
    at: int
    """Seconds since 1970."""
    message: str
    level: str = "info"
    metrics: Mapping[str, Any] = field(default_factory=dict)


class Platform(Protocol):
    """One account on one platform. Every method raises PlatformError."""

    def check(self) -> None:
        """A cheap call that fails where the key does."""

    def find_file(self, file_name: str, *, begun: bool = False) -> str | None:
        """Id of the file that was uploaded under this name. begun: also of one that did not arrive
        whole, on a platform that keeps such files."""

    def upload(self, path: Path, file_name: str) -> str:
        """Id of the file."""

    def check_order(self, order: Order, files: Sequence[str]) -> None:
        """Returns once it can be started with these files: some platforms read files first, and
        refuse what they cannot use, or tell what it will cost. Asked again after `retry_after`."""

    def find(self, mark: str, training_file: str) -> RemoteJob | None:
        """The job that was started with this mark, or, where the platform does not keep it, with
        this file, which no other job was started with."""

    def start(self, order: Order, files: Sequence[str]) -> RemoteJob:
        """files: ids of the training file and, where there is one, of the validation file."""

    def poll(self, job_id: str) -> RemoteJob: ...

    def events(self, job_id: str, after: str) -> list[RemoteEvent]:
        """The newest, the oldest of them first. None are older than `after`, the newest one that is
        known."""

    def cancel(self, job_id: str) -> None: ...

    def delete_file(self, file_id: str) -> None:
        """Nothing happens where it is gone already, or is another's."""
