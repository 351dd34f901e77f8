"""Reads documents in a process of its own, with limits of memory and time.

A document that makes it crash or exceed a limit ends this process alone; the next gets a new one.

    python -m worker.knowledge.readers.reader_process PARENT_PID

Input and output are JSON lines, one ReadRequest and one ReadReply per document. The text goes into
files (document_cache.py). What libraries print is discarded, because it may quote the document.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypedDict

import psutil

from finetune_app.core import parent_death
from worker.imports.limits import MEMORY_BYTES
from worker.knowledge import document_cache
from worker.knowledge.document_text import Unreadable
from worker.knowledge.readers import formats

CPU_SECONDS = 240  # per document
READ_TIMEOUT_SECONDS = 480.0  # per document, wall-clock
TOO_LONG = "Reading this took too long, so we stopped. Split it into smaller files."
TOO_LARGE = "Reading this needs more memory than a document may use. Split it into smaller files."
DELETED = "This was deleted while it was being read."
UNKNOWN = "This could not be read: it is damaged, or not what its name says. Save it again."


class ReadRequest(TypedDict):
    file: str
    name: str
    folder: str  # for the files of document_cache.py


class ReadReply(TypedDict):
    problem: str  # why it cannot be read; "" if it was


class Reader:
    """Starts the process and talks to it. Only for the main thread: the process ends with the
    thread that started it (parent_death)."""

    def __init__(self, timeout_seconds: float = READ_TIMEOUT_SECONDS) -> None:
        self.timeout_seconds = timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, file: Path, name: str, folder: Path) -> None:
        """Save the text of `file` in `folder`. Raises Unreadable."""
        process = self._running_process()
        assert process.stdin
        assert process.stdout
        timer = threading.Timer(self.timeout_seconds, process.kill)
        timer.start()
        try:
            request: ReadRequest = {"file": str(file), "name": name, "folder": str(folder)}
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            timed_out = not timer.is_alive()
            timer.cancel()
        if not line:
            self.close()
            raise Unreadable(TOO_LONG if timed_out else UNKNOWN)
        reply: ReadReply = json.loads(line)
        if reply["problem"]:
            raise Unreadable(reply["problem"])

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _running_process(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker.knowledge.readers.reader_process", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process


def main() -> None:
    parent_death.die_with_parent(int(sys.argv[1]))
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_memory()
    signal.signal(signal.SIGXCPU, _on_cpu_limit)
    for line in sys.stdin.buffer:
        reply, is_healthy = _read(json.loads(line))
        output.write(json.dumps(reply).encode() + b"\n")
        output.flush()
        if not is_healthy:
            os._exit(1)


def _read(request: ReadRequest) -> tuple[ReadReply, bool]:
    """The reply, and whether this process can read another document."""
    _limit_cpu()
    try:
        text = formats.read(Path(request["file"]), request["name"])
        document_cache.save_text(Path(request["folder"]), text)
        return {"problem": ""}, True
    except Unreadable as error:
        return {"problem": str(error)}, str(error) != TOO_LONG
    except FileNotFoundError:
        return {"problem": DELETED}, True
    except MemoryError:
        return {"problem": TOO_LARGE}, False
    except Exception:  # not reported: its message may quote the document
        return {"problem": UNKNOWN}, False


def _limit_memory() -> None:
    _set_soft_limit(resource.RLIMIT_AS, psutil.Process().memory_info().vms + MEMORY_BYTES)


def _limit_cpu() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    _set_soft_limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + CPU_SECONDS)


def _set_soft_limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (value if hard < 0 else min(value, hard), hard))


def _on_cpu_limit(signum: int, frame: FrameType | None) -> NoReturn:
    raise Unreadable(TOO_LONG)


if __name__ == "__main__":
    main()
