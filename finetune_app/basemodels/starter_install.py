"""Whether a process of this host is installing the starter model, for the pages that wait for it.

The process holds a lock on a file, so that one that was killed is not waited for. The file says why
its last attempt failed.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

MAX_CHARACTERS = 500


@dataclass(frozen=True)
class StarterInstall:
    """One that is running. problem: why its last attempt failed, if one did."""

    problem: str


@contextmanager
def installing() -> Iterator[Callable[[str], None]]:
    """Until the block ends, pages wait for the starter. Yields a function that tells them why an
    attempt failed; waits where another process is installing it."""
    with _path().open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def say(problem: str) -> None:
            file.truncate(0)
            file.write(problem[:MAX_CHARACTERS])
            file.flush()

        say("")
        yield say


def running() -> StarterInstall | None:
    try:
        with _path().open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None  # nobody holds it
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return StarterInstall(_path().read_text())


def _path() -> Path:
    return Path(settings.RUN_DIR) / "starter.lock"
