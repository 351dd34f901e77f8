"""Kept texts are redacted in a process of their own, so that they hold up nobody else."""

import os
import signal

import pytest

from finetune_app.request_log import redactor as module
from finetune_app.request_log.redaction import MAX_CHARACTERS, Redacted
from finetune_app.request_log.redactor import RedactionFailed, Redactor

PHONES = "Call me at 0171 234 5678. "  # each costs a look into the numbering plans
LONG = PHONES * 100


@pytest.fixture
def redactor():
    made = Redactor()
    yield made
    made.end()


def test_a_long_text_is_not_redacted_by_the_web_process(redactor, monkeypatch):
    """200,000 characters of phone numbers took 8 s, of all requests."""

    def never(text: str) -> Redacted:
        raise AssertionError("redacted in the web process")

    monkeypatch.setattr(module, "redact", never)
    first, second = redactor.redact([LONG, "From a@kettle-lane.de\n" + LONG])
    assert "0171" not in first.text + second.text
    assert "[email]" in second.text
    assert (first.removed, second.removed) == (100, 101)


def test_how_much_is_scanned_is_bounded():
    """Only the beginning is kept, so the rest need not be read."""
    redacted = module.redact(PHONES * 8_000)
    assert len(redacted.text) <= MAX_CHARACTERS
    assert redacted.removed <= MAX_CHARACTERS // len(PHONES) + 1
    assert "0171" not in redacted.text


def test_what_takes_too_long_is_not_stored_and_the_next_text_is_redacted(redactor, monkeypatch):
    redactor.redact([LONG])
    os.kill(redactor._process.pid, signal.SIGSTOP)
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.2)
    with pytest.raises(RedactionFailed):
        redactor.redact([LONG])
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 60.0)
    assert "0171" not in redactor.redact([LONG])[0].text


def test_a_process_that_died_is_started_again(redactor):
    redactor.redact([LONG])
    os.kill(redactor._process.pid, signal.SIGKILL)
    redactor._process.wait()
    assert redactor.redact([LONG])[0].removed == 100


def test_when_many_wait_the_next_text_is_not_stored(redactor, monkeypatch):
    for _ in range(module.MAX_WAITING):
        assert redactor._places.acquire(blocking=False)
    with pytest.raises(RedactionFailed):
        redactor.redact([LONG])
    assert redactor.redact(["a short one"])[0].text == "a short one"


def test_the_process_ends_with_the_web(redactor):
    redactor.redact([LONG])
    process = redactor._process
    process.stdin.close()  # as when its other end is gone
    assert process.wait(20) == 0
