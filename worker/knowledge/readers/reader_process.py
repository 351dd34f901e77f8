"""Reading happens in a process of its own, with limits: a document that makes the reader run out
of memory or time, or crash, ends that process and nothing else. The next document gets a new one.

    python -m worker.knowledge.readers.reader_process PARENT

Input, one JSON line a document: {"file", "name", "into"}. Output, one line each:
{"pages", "characters"} or {"problem"}. The text itself goes into files
(document_cache.py). What a library prints is discarded, because it may quote the document.
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
from typing import Any, NoReturn

import psutil

from finetune_app.core import parent_death
from worker.imports.limits import MEMORY_BYTES
from worker.knowledge import document_cache
from worker.knowledge.document_text import Unreadable
from worker.knowledge.readers import formats

CPU_SECONDS = 240  # for one document
READ_TIMEOUT_SECONDS = 480.0  # seconds on the clock for one document
TOO_LONG = "Reading this took too long, so we stopped. Bring it in smaller parts."
TOO_LARGE = "Reading this needs more memory than a document may use. Bring it in smaller parts."
GONE = "This was deleted while it was being read."
UNKNOWN = "This could not be read: it is damaged, or not what its name says. Save it again."


class Reader:
    """The parent's side. Use from the main thread: the leash watches the thread that started it."""

    def __init__(self, timeout_seconds: float = READ_TIMEOUT_SECONDS) -> None:
        self.timeout_seconds = timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, file: Path, name: str, into: Path) -> dict[str, Any]:
        """{"pages", "characters"}, the text lying in `into`. Raise Unreadable."""
        process = self._running()
        assert process.stdin
        assert process.stdout
        late = threading.Timer(self.timeout_seconds, process.kill)
        late.start()
        try:
            order = {"file": str(file), "name": name, "into": str(into)}
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            too_late = not late.is_alive()
            late.cancel()
        if not line:
            self.close()
            raise Unreadable(TOO_LONG if too_late else UNKNOWN)
        answer: dict[str, Any] = json.loads(line)
        if "problem" in answer:
            raise Unreadable(answer["problem"])
        return answer

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _running(self) -> subprocess.Popen[bytes]:
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
    signal.signal(signal.SIGXCPU, _too_long)
    for line in sys.stdin.buffer:
        answer, go_on = _read(json.loads(line))
        output.write(json.dumps(answer).encode() + b"\n")
        output.flush()
        if not go_on:
            os._exit(1)


def _read(order: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The answer, and whether this process is still fit for another document."""
    _limit_processor()
    try:
        text = formats.read(Path(order["file"]), order["name"])
        document_cache.save_text(Path(order["into"]), text)
        return {"pages": text.pages, "characters": len(text.text)}, True
    except Unreadable as error:
        return {"problem": str(error)}, str(error) != TOO_LONG
    except FileNotFoundError:
        return {"problem": GONE}, True
    except MemoryError:
        return {"problem": TOO_LARGE}, False
    except Exception:  # its message may quote the document, so it is told to nobody
        return {"problem": UNKNOWN}, False


def _limit_memory() -> None:
    _soften(resource.RLIMIT_AS, psutil.Process().memory_info().vms + MEMORY_BYTES)


def _limit_processor() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    _soften(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + CPU_SECONDS)


def _soften(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (value if hard < 0 else min(value, hard), hard))


def _too_long(signum: int, frame: FrameType | None) -> NoReturn:
    raise Unreadable(TOO_LONG)


if __name__ == "__main__":
    main()
