"""Runs a command in a session of its own; ends the whole session when the command ends, or when
the process that started it is gone: its end of our standard input closes then, even on SIGKILL.

A program of its own, because vLLM starts processes that survive their parent. It imports nothing
of this project: python -I session_guard.py COMMAND...
"""

import os
import signal
import subprocess
import sys
import threading
import time

TERMINATE_SECONDS = 5.0  # between SIGTERM and SIGKILL


def main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # we send it to the whole session
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, preexec_fn=_restore_signals)
    threading.Thread(target=_end_with_stdin, args=(command,), daemon=True).start()
    command.wait()
    os.killpg(0, signal.SIGKILL)


def _restore_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end_with_stdin(command: "subprocess.Popen[bytes]") -> None:
    while sys.stdin.buffer.read(1024):
        pass
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + TERMINATE_SECONDS
    while command.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
