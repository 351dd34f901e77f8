"""Checks before the start; each problem is reported in one sentence."""

import errno
import fcntl
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

from finetune_app.core.sizes import GB, size

NEEDED_BYTES = 2 * GB


class NotReady(Exception):
    """Why Finetune cannot start, and what to do about it."""


def check_system() -> None:
    if sys.platform == "win32":
        raise NotReady("Finetune runs on Windows through Docker: docker compose up.")


def check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NotReady(f"The disk of {folder} is full. Free some space.") from error
        raise NotReady(
            f"Finetune may not write in {folder}. Change its owner, or set DATA_DIR to another "
            "folder."
        ) from error


def check_disk(folder: Path, needed: int = NEEDED_BYTES) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NotReady(
            f"Only {size(free)} are free on the disk of {folder}; Finetune needs "
            f"{size(needed)}. Free some space, or set DATA_DIR to another disk."
        )


def check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise NotReady(
                    f"Port {port} is in use by another program. Choose another one: "
                    f"PORT={port + 1} make run"
                ) from error
            raise NotReady(f"Finetune cannot listen on {host}:{port}: {error.strerror}.") from error


def lock_installation(run: Path) -> int:
    """Lock the installation while this process runs. Returns the open lock file."""
    handle = os.open(run / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise NotReady(
            "Finetune is already running with this DATA_DIR. Use that one, or set another DATA_DIR."
        ) from None
    return handle
