"""Redacts texts in a process of its own: a long text takes seconds of processor time, which the web
would take from all other requests.

The process starts with the first text, and ends with the web process, or when it is not needed for
a while. Texts go to it through a pipe and are never stored in clear.
"""

import json
import os
import queue
import select
import subprocess
import sys
import threading
from collections.abc import Sequence

from django.conf import settings

from finetune_app.request_log.redaction import Redacted, redact

AT_ONCE_CHARACTERS = 1_000  # redacted without the process: a few milliseconds
TIMEOUT_SECONDS = 30.0  # for the texts of one request
MAX_WAITING = 3  # requests that redact or wait for it
IDLE_SECONDS = 600.0


class RedactionFailed(Exception):
    """The texts were not redacted, and so must not be stored."""


class Redactor:
    """The process, seen from the web. Safe to use from several threads."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()
        self._places = threading.BoundedSemaphore(MAX_WAITING)

    def redact(self, texts: Sequence[str]) -> list[Redacted]:
        """Raises RedactionFailed when too many wait, or when it takes too long."""
        if sum(map(len, texts)) <= AT_ONCE_CHARACTERS:
            return [redact(text) for text in texts]
        if not self._places.acquire(blocking=False):
            raise RedactionFailed
        try:
            with self._turn:
                return self._ask(texts)
        finally:
            self._places.release()

    def _ask(self, texts: Sequence[str]) -> list[Redacted]:
        process = self._running()
        answers: queue.SimpleQueue[str] = queue.SimpleQueue()

        def exchange() -> None:
            assert process.stdin
            assert process.stdout
            try:
                process.stdin.write(json.dumps(list(texts)) + "\n")
                process.stdin.flush()
                answers.put(process.stdout.readline())
            except OSError:
                answers.put("")

        threading.Thread(target=exchange, daemon=True).start()
        try:
            answer = answers.get(timeout=TIMEOUT_SECONDS)
        except queue.Empty:
            answer = ""
        if not answer:
            self.end()
            raise RedactionFailed
        return [Redacted(text, removed) for text, removed in json.loads(answer)]

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=settings.BASE_DIR,
            )
        return self._process

    def end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


redactor = Redactor()


def main() -> None:
    """Answer each line of texts with a line of redacted ones, until the web process is gone."""
    os.nice(5)  # pages come first
    while select.select([sys.stdin], [], [], IDLE_SECONDS)[0]:
        line = sys.stdin.readline()
        if not line:
            return
        print(json.dumps([redact(text) for text in json.loads(line)]), flush=True)


if __name__ == "__main__":
    main()
