"""The log: text or JSON, with request and job, bounded when the same error repeats."""

import io
import json
import logging
import logging.config
import runpy
from datetime import datetime
from pathlib import Path

import pytest
from django.conf import settings as configured
from uvicorn.config import LOGGING_CONFIG

from finetune_app.core import logs
from finetune_app.core.json_logs import JsonLineFormatter
from finetune_app.core.logs import MAX_REPEATS, WINDOW_SECONDS, BoundedHandler, ContextFilter


class Log:
    """A logger whose lines can be read, and a clock that a test moves."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self.now = 0.0
        self.stream = io.StringIO()
        self.handler = BoundedHandler(self.stream, clock=lambda: self.now)
        self.handler.addFilter(ContextFilter())
        self.handler.setFormatter(formatter)
        self.logger = logging.Logger("a.logger")
        self.logger.addHandler(self.handler)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    def fail(self, error: Exception) -> None:
        """An error with its traceback, always at the same place."""
        try:
            raise error
        except Exception:
            self.logger.exception("failed: %s", error)


@pytest.fixture
def json_log() -> Log:
    return Log(JsonLineFormatter())


@pytest.fixture
def text_log() -> Log:
    return Log(logs.LineFormatter("{levelname} [{context}] {message}", style="{"))


# ---- JSON ----


def test_an_event_is_one_object_with_its_request_and_job(json_log, monkeypatch):
    monkeypatch.setenv("FINETUNE_PROCESS", "heavy")
    with logs.context(request="abc", job=7):
        json_log.logger.info("job %s: taken", 7)
    (line,) = json_log.lines
    event = json.loads(line)
    assert datetime.fromisoformat(event.pop("time")).tzinfo
    assert event.pop("pid") > 0
    assert event == {
        "level": "INFO",
        "logger": "a.logger",
        "message": "job 7: taken",
        "request_id": "abc",
        "job_id": 7,
        "process": "heavy",
    }


def test_a_traceback_is_one_field_of_the_same_line(json_log):
    json_log.fail(ValueError("on two\nlines"))
    (line,) = json_log.lines
    event = json.loads(line)
    assert event["message"] == "failed: on two\nlines"
    assert event["traceback"].startswith("Traceback (most recent call last)")
    assert event["traceback"].endswith("ValueError: on two\nlines")


def test_json_has_no_secrets_and_no_attributes_of_others(json_log):
    json_log.logger.info("at the start\nhf_SECRETsecret", extra={"request": "/join/SECRETsecret/"})
    json_log.fail(ValueError("Bearer SECRETsecret"))
    assert "SECRET" not in json_log.stream.getvalue()
    assert "request" not in json.loads(json_log.lines[0])


# ---- Text ----


def test_a_line_of_text_names_request_and_job(text_log):
    text_log.logger.info("before")
    with logs.context(request="abc", job=7):
        text_log.logger.info("taken")
    assert text_log.lines == ["INFO [-] before", "INFO [abc job 7] taken"]


# ---- Bounded ----


def test_the_same_error_is_written_a_few_times_and_then_counted(text_log):
    """823 answers of 500 in a minute were 37 MB of tracebacks."""
    for number in range(823):
        text_log.fail(RuntimeError(f"too many clients, request {number}"))
    text = text_log.stream.getvalue()
    assert text.count("Traceback") == MAX_REPEATS
    assert len(text) < 20_000
    assert "more like this within a minute are counted" in text


def test_how_many_were_left_out_is_said_once_the_minute_is_over(text_log):
    for _ in range(MAX_REPEATS + 5):
        text_log.fail(RuntimeError("too many clients"))
    text_log.now = WINDOW_SECONDS
    text_log.logger.info("something else")
    assert text_log.lines[-2:] == [
        "ERROR [-] 5 more like this were left out: failed: too many clients",
        "INFO [-] something else",
    ]
    text_log.fail(RuntimeError("too many clients"))
    assert text_log.stream.getvalue().count("Traceback") == MAX_REPEATS + 1


def test_how_many_were_left_out_is_said_when_the_process_ends(text_log):
    for _ in range(MAX_REPEATS + 1):
        text_log.logger.warning("the database does not answer")
    text_log.handler.close()
    assert text_log.lines[-1].startswith("WARNING [-] 1 more like this were left out")


def test_other_errors_and_plain_lines_are_written_all_the_same(text_log):
    for number in range(MAX_REPEATS * 3):
        text_log.logger.info("job %s: queued", number)
        text_log.fail(RuntimeError("too many clients"))
    text_log.fail(OSError("another kind of error"))
    text = text_log.stream.getvalue()
    assert text.count("queued") == MAX_REPEATS * 3
    assert "OSError: another kind of error" in text


# ---- Settings ----


def test_the_web_server_writes_down_no_addresses():
    """uvicorn's own loggers are there before ours are configured, which would revive this one."""
    logging.config.dictConfig(LOGGING_CONFIG)
    logs.configure()
    assert not logging.getLogger("uvicorn.access").hasHandlers()
    assert logging.getLogger("uvicorn.error").hasHandlers()


def test_an_unknown_format_is_refused_at_the_start(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LOG_FORMAT", "xml")
    with pytest.raises(SystemExit, match="Set it to text or json"):
        runpy.run_path(str(Path(configured.BASE_DIR) / "finetune_app" / "settings.py"))
