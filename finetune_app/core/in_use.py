"""Which processes use a data folder, so that some commands run only while none does.

The web, the clock, each worker and the engine hold a shared lock in the folder for as long as they
live, also one that was not started by `manage.py up`. The kernel lets go of it when they die.
"""

import fcntl
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

FOLDER = "in-use"
ROLES = {"web": "the web", "clock": "the clock", "worker": "a worker", "engine": "the engine"}

WAIT_SECONDS = 10.0  # a command that is refused has the folder for a moment

log = logging.getLogger(__name__)
_held: list[int] = []  # open lock files of this process


class InUse(Exception):
    """The message names who uses the data folder."""


def hold(data_dir: Path, role: str) -> None:
    """Lock the data folder as one of `ROLES` until this process ends.

    Exits while a command has the folder for itself. Where files cannot be locked it goes on.
    """
    handle = _open(data_dir, role)
    _held.append(handle)
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                sys.exit(
                    f"A restore or a change of secrets is under way in {data_dir}. "
                    "Start again once it has ended."
                )
            time.sleep(0.1)
        except OSError as error:  # some network file systems have no locks
            log.warning("%s cannot be locked (%s): stop Finetune before a restore", data_dir, error)
            return


def release() -> None:
    """Let go of every lock of this process."""
    while _held:
        os.close(_held.pop())


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Have the data folder alone. Raises InUse while other processes use it."""
    holders = []
    with ExitStack() as stack:
        for role, name in ROLES.items():
            handle = _open(data_dir, role)
            stack.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holders.append(name)
        if holders:
            raise InUse(" and ".join(holders))
        yield


def _open(data_dir: Path, role: str) -> int:
    folder = data_dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    return os.open(folder / f"{role}.lock", os.O_RDWR | os.O_CREAT, 0o600)
