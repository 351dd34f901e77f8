"""A file that a process touches while it lives, for `manage.py healthy`.

It needs no broker, unlike a ping by Celery: a worker whose broker is down goes on with its job and
must not be restarted.
"""

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from django.conf import settings

TOUCH_SECONDS = 10.0
DEAD_AFTER_SECONDS = 60.0


def file_of(process: str) -> Path:
    """The file of a process on this machine; several may share the data folder."""
    return Path(settings.RUN_DIR) / f"{process}-{socket.gethostname()}.alive"


def touch(process: str) -> None:
    with suppress(OSError):  # a full disk is reported by others
        file_of(process).touch()


def touch_in_background(process: str) -> None:
    def run() -> None:
        while True:
            touch(process)
            time.sleep(TOUCH_SECONDS)

    threading.Thread(target=run, daemon=True).start()


def is_alive(process: str) -> bool:
    """Whether the process lives on this host; of several workers of a lane, whether one does."""
    return any(map(_is_fresh, _files(process, socket.gethostname())))


def count_alive(process: str) -> int:
    """How many of the process live, on all hosts that share the data folder."""
    return sum(map(_is_fresh, _files(process, "*")))


def _files(process: str, host: str) -> list[Path]:
    """Of a process and, where there are several, of `process`-1, -2 and so on."""
    folder = Path(settings.RUN_DIR)
    named = [f"{process}-{host}.alive", f"{process}-[0-9]*-{host}.alive"]
    return list({file for name in named for file in folder.glob(name)})


def _is_fresh(file: Path) -> bool:
    try:
        return time.time() - file.stat().st_mtime < DEAD_AFTER_SECONDS
    except FileNotFoundError:
        return False
