"""The registered kinds of job. Rooms register theirs through `handlers.register`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

STOPPING = _("Stopping: saving what was learned so far.")
INTERRUPTED = _("This stopped unexpectedly; going on from where it was last saved.")
YIELDING = _("Makes room for work that comes first; goes on from where it was saved.")


@dataclass(frozen=True)
class JobKind:
    """Properties of one kind of job."""

    name: str
    """Stored in `Job.kind`; at most 12 characters."""
    runner: str | None = None
    """Module of the worker with `run(job, channel)`, for a child process to import. None: the
    handler does the work in the supervisor."""
    progress: tuple[str, ...] = ()
    """Files and folders in the job's folder that hold what it has done so far. A continued run
    reads them, also on another machine; see worker/progress_copies.py."""
    heavy: bool = False
    """A worker runs heavy jobs one at a time, apart from the light ones."""
    interrupted: "StrPromise" = INTERRUPTED
    """The job's message while it waits to go on after its worker died."""
    stopping: "StrPromise" = STOPPING
    """The job's message from a press of Stop until it has stopped."""


KINDS: dict[str, JobKind] = {}


def heavy_kinds() -> list[str]:
    return [kind.name for kind in KINDS.values() if kind.heavy]


def validate_kind(name: str) -> None:
    """Raises ValidationError when no room has registered a kind of this name."""
    if name not in KINDS:
        raise ValidationError(_("%(name)s is not a kind of job."), params={"name": name})
