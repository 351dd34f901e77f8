"""Runs a command as part of its own session, and ends all of that session when the command is over
or when whoever started it is gone: then our standard input ends, kill -9 included.

A program of its own, since vLLM starts processes that would go on without their parent. It imports
nothing of this project: python -I guard.py COMMAND...
"""

import os
import signal
import subprocess
import sys
import threading
import time

PATIENCE = 5.0  # seconds that a SIGTERM has before the SIGKILL


def main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # ours goes to the whole session
    command = subprocess.Popen(
        sys.argv[1:], stdin=subprocess.DEVNULL, preexec_fn=_listen_to_signals
    )
    threading.Thread(target=_wait_for_the_end_of_input, args=(command,), daemon=True).start()
    command.wait()
    os.killpg(0, signal.SIGKILL)


def _listen_to_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _wait_for_the_end_of_input(command: "subprocess.Popen[bytes]") -> None:
    while sys.stdin.buffer.read(1024):
        pass
    os.killpg(0, signal.SIGTERM)
    until = time.monotonic() + PATIENCE
    while command.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
