"""A leash: a process that holds it dies with the process that started it, even on kill -9.

As a program it puts the leash on any command: ``python -m finetune_app.core.leash PID cmd...``
where PID is the caller. Linux does it in the kernel (PR_SET_PDEATHSIG, kept across exec);
elsewhere the program stays and looks for its parent twice a second.

The kernel watches the *thread* that started the process, so start leashed processes from a
thread that lives as long as you do: the main one.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1


def hold(parent: int) -> None:
    """Die when `parent` does (Linux); end at once when it is gone already."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os._exit(0)


def watch(parent: int, command: list[str]) -> int:
    """Run `command` and kill it when `parent` goes: for systems without a leash in the kernel."""
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
    hold(parent)
    if sys.platform == "linux":
        os.execvp(command[0], command)
    sys.exit(watch(parent, command))


if __name__ == "__main__":
    main()
