"""The log of every process: its request and job on each line, no secrets, and bounded.

LOG_FORMAT=text (one line per event, with tracebacks below it) or json (json_logs.py).
"""

import contextvars
import logging
import logging.config
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
job_id: contextvars.ContextVar[int | None] = contextvars.ContextVar("job_id", default=None)

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_BYTES = 10_000_000  # of a process, before its log is rotated
MAX_REPEATS = 10  # of one warning or error within a window
WINDOW_SECONDS = 60.0

# Finetune's keys, and common formats of platforms' keys.
SECRET = re.compile(
    r"(?P<before>\bft-[0-9a-f]{8}-|\bhf_|\bsk-|(?i:bearer\s+)|/join/|(?<![0-9])/(?:chat|vote)/|[?&]code=)[\w.~+/=-]{6,}"
)
FORMATTERS = {
    "text": {
        "()": "finetune_app.core.logs.LineFormatter",
        "format": "{asctime} {levelname} {name} [{context}] {message}",
        "style": "{",
    },
    "json": {"()": "finetune_app.core.json_logs.JsonLineFormatter"},
}
# Libraries that report each of their steps at INFO.
QUIET = ("asyncio", "botocore", "celery", "filelock", "httpcore", "httpx", "kombu", "urllib3")


@contextmanager
def context(*, request: str, job: int | None) -> Iterator[None]:
    """Lines that are written meanwhile belong to this request and this job."""
    tokens = request_id.set(request), job_id.set(job)
    try:
        yield
    finally:
        request_id.reset(tokens[0])
        job_id.reset(tokens[1])


def process_name() -> str:
    """web, clock, light, heavy, engine or child; else the name of the program."""
    return os.environ.get("FINETUNE_PROCESS") or Path(sys.argv[0]).stem


class ContextFilter(logging.Filter):
    """Adds the request, the job and the process to each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        request, job = request_id.get(), job_id.get()
        vars(record).update(
            request_id=request,
            job_id=job,
            context=(request or "-") + (f" job {job}" if job is not None else ""),
            process_name=process_name(),
        )
        return True


class LineFormatter(logging.Formatter):
    """Escapes line breaks in messages and masks keys. Tracebacks keep their lines."""

    def format(self, record: logging.LogRecord) -> str:
        plain = copy(record)
        plain.msg, plain.args = one_line(record.getMessage()), None
        return without_secrets(super().format(plain))


def one_line(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def without_secrets(text: str) -> str:
    return SECRET.sub(r"\g<before>…", text)


@dataclass
class _Window:
    """One warning or error since its first record."""

    first: logging.LogRecord
    began: float
    count: int = 0


class BoundedHandler(logging.StreamHandler[Any]):
    """Writes the same warning or error at most MAX_REPEATS times a minute, then only counts it.

    An overloaded database would otherwise fill the disk with tracebacks. The last line that is
    written says so, and the first line after the minute says how many were left out.
    """

    def __init__(self, stream: Any = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._windows: dict[object, _Window] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self._report(ended_before=self._clock() - WINDOW_SECONDS)
        if record.levelno >= logging.WARNING:
            window = self._windows.setdefault(_place(record), _Window(record, self._clock()))
            window.count += 1
            if window.count > MAX_REPEATS:
                return
            if window.count == MAX_REPEATS:
                record = copy(record)
                record.msg = f"{record.getMessage()} (more like this within a minute are counted)"
                record.args = None
        super().emit(record)

    def close(self) -> None:
        self._report(ended_before=self._clock())
        super().close()

    def _report(self, ended_before: float) -> None:
        ended = [key for key, window in self._windows.items() if window.began <= ended_before]
        for window in [self._windows.pop(key) for key in ended]:
            if (left_out := window.count - MAX_REPEATS) > 0:
                summary = copy(window.first)
                summary.msg = f"{left_out} more like this were left out: {summary.getMessage()}"
                summary.args = summary.exc_info = summary.exc_text = None
                super().emit(summary)


def _place(record: logging.LogRecord) -> tuple[object, ...]:
    """Where a record comes from: the line that wrote it, and the one that raised its exception."""
    kind, _error, trace = record.exc_info or (None, None, None)
    while trace and trace.tb_next:
        trace = trace.tb_next
    raised_at = (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace else None
    return record.pathname, record.lineno, kind, raised_at


def config() -> dict[str, Any]:
    """For logging.config.dictConfig, from LOG_LEVEL and LOG_FORMAT.

    Raises ValueError for a format or a level that does not exist.
    """
    log_format = os.environ.get("LOG_FORMAT") or "text"
    if log_format not in FORMATTERS:
        raise ValueError(f"LOG_FORMAT is {log_format!r}. Set it to text or json, or leave it out.")
    level = os.environ.get("LOG_LEVEL") or "INFO"
    if level.upper() not in LEVELS:
        raise ValueError(f"LOG_LEVEL is {level!r}. Set it to one of {', '.join(LEVELS)}.")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"context": {"()": "finetune_app.core.logs.ContextFilter"}},
        "formatters": {log_format: FORMATTERS[log_format]},
        "handlers": {
            "console": {
                "()": "finetune_app.core.logs.BoundedHandler",
                "formatter": log_format,
                "filters": ["context"],
            }
        },
        "root": {"handlers": ["console"], "level": level.upper()},
        "loggers": {name: {"level": "WARNING"} for name in QUIET}
        | {
            "django.request": {"level": "ERROR"},
            "axes": {"level": "ERROR"},
            # Its warnings name the address, and that of an invitation is a secret.
            "django.security.csrf": {"level": "ERROR"},
            "gunicorn.error": {"level": "WARNING", "handlers": ["console"], "propagate": False},
            # uvicorn has handlers of its own before it loads the application.
            "uvicorn": {"level": "INFO", "handlers": [], "propagate": True},
            # Addresses of invitations and of set-up are secrets.
            "uvicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
            "uvicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
        },
    }


def configure() -> None:
    """For processes that load no Django settings: the engine and the children."""
    logging.config.dictConfig(config())


def rotate(log: Path) -> None:
    """Keep a log and one older copy. Writers append, so truncating in place is safe."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        shutil.copyfile(log, log.with_suffix(".old.log"))
        os.truncate(log, 0)
