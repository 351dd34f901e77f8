"""Ends a process when its parent dies, even after kill -9.

As a program it runs a command this way:
``python -m finetune_app.core.parent_death PID command...`` where PID is the caller's. Linux uses
PR_SET_PDEATHSIG, which survives exec; elsewhere this program keeps running and checks its parent
twice a second.

The kernel watches the *thread* that started the process, so start such processes from the main
thread.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Die with `parent` (Linux only); exit at once if it is dead already."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os._exit(0)


def run_until_parent_dies(parent: int, command: list[str]) -> int:
    """Run `command` and kill it when `parent` dies, for systems without PR_SET_PDEATHSIG."""
    process = subprocess.Popen(command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda n, _frame: process.send_signal(n))
    while process.poll() is None:
        if os.getppid() != parent:
            process.kill()
        time.sleep(0.5)
    return process.returncode


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    die_with_parent(parent)
    if sys.platform == "linux":
        os.execvp(command[0], command)
    sys.exit(run_until_parent_dies(parent, command))


if __name__ == "__main__":
    main()
