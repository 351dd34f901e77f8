"""Process ids that stay unique after a reboot or a reused pid.

An id is ``machine:pid:start``. `machine` is the host name with the boot id and the pid namespace,
so that two containers, or one machine before and after a reboot, have different ids.
"""

import os
import signal
import socket
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil


@cache
def machine() -> str:
    host = socket.gethostname().replace(":", "-")[:40]
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        namespace = os.stat("/proc/self/ns/pid").st_ino
        return f"{host}-{boot}-{namespace}"
    except OSError:  # not Linux
        return f"{host}-{uuid.getnode():x}-{int(psutil.boot_time())}"


def start_time(pid: int) -> str | None:
    """Start time of a process, unaffected by clock changes; None if it is dead."""
    try:
        if psutil.LINUX:
            stat = Path(f"/proc/{pid}/stat").read_text()
            fields = stat.rpartition(")")[2].split()
            return None if fields[0] in "ZX" else fields[19]  # a zombie counts as dead
        process = psutil.Process(pid)
        gone = process.status() == psutil.STATUS_ZOMBIE
        return None if gone else str(int(process.create_time()))
    except (OSError, psutil.Error):
        return None


def process_id(pid: int | None = None) -> str:
    pid = pid or os.getpid()
    return f"{machine()}:{pid}:{start_time(pid) or 'gone'}"


def is_on_this_machine(name: str) -> bool:
    return name.startswith(f"{machine()}:")


def is_alive(name: str) -> bool:
    """Whether the process runs on this machine. Check `is_on_this_machine` first."""
    _, pid, start = name.rsplit(":", 2)
    return start_time(int(pid)) == start


def kill(name: str, *, timeout_seconds: float = 5.0) -> bool:
    """Kill a child with its whole session; True if no process of it is left.

    A pid is not reused while a session with that id exists, so the session's processes are the
    child's own, unless the pid itself now belongs to another process.
    """
    if not name or not is_on_this_machine(name):
        return True
    _, number, start = name.rsplit(":", 2)
    pid = int(number)
    found = start_time(pid)
    if found is not None and found != start:
        return True  # the pid has been reused
    until = time.monotonic() + timeout_seconds
    while members := _session(pid):
        for member in members:
            _signal(member, signal.SIGKILL)
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _session(pid: int) -> list[int]:
    """Running processes of the session that `pid` leads."""
    found = []
    for other in psutil.pids():
        try:
            if os.getsid(other) == pid and start_time(other) is not None:
                found.append(other)
        except OSError:
            continue
    return found


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
