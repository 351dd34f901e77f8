"""Which machine, which process: names that stay true after a reboot or a reused pid.

A process is named ``machine:pid:start``. `machine` is the host name with the boot and the pid
namespace, so two containers, or one machine before and after a reboot, never look the same.
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
    """When the process started, in a unit that a changed clock leaves alone; None if gone."""
    try:
        if psutil.LINUX:
            stat = Path(f"/proc/{pid}/stat").read_text()
            fields = stat.rpartition(")")[2].split()
            return None if fields[0] in "ZX" else fields[19]  # a zombie does nothing any more
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
    """True when the named process runs on this machine. Ask `is_on_this_machine` first."""
    _, pid, start = name.rsplit(":", 2)
    return start_time(int(pid)) == start


def kill(name: str, *, patience: float = 5.0) -> bool:
    """Kill the named child with its whole session; True when nothing of it is left.

    A pid is not given out again while a session of that number lives, so processes of the
    session are the child's own unless the pid itself now belongs to somebody else.
    """
    if not name or not is_on_this_machine(name):
        return True
    _, number, start = name.rsplit(":", 2)
    pid = int(number)
    found = start_time(pid)
    if found is not None and found != start:
        return True  # the number was given to a stranger
    until = time.monotonic() + patience
    while members := _session(pid):
        for member in members:
            _signal(member, signal.SIGKILL)
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _session(pid: int) -> list[int]:
    """Living processes of the session that `pid` leads."""
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
