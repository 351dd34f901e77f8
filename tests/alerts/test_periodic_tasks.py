"""Periodic tasks of alerts: the clock does not wait for the mail server."""

import threading

import pytest

from finetune_app.alerts import periodic_tasks, rule_checks, sending
from finetune_app.jobs.periodic_tasks import TASKS
from tests.worker.conftest import wait_for


@pytest.fixture
def sent(monkeypatch):
    """(threads that started to send, event that lets them fail)"""
    started, release = [], threading.Event()

    def slow() -> int:
        started.append(threading.current_thread())
        release.wait(10)
        raise RuntimeError("the mail server failed")

    monkeypatch.setattr(sending, "send_due", slow)
    yield started, release
    release.set()
    for thread in started:
        thread.join(10)


def test_one_thread_sends_at_a_time_and_an_error_does_not_block_the_next(sent):
    started, release = sent
    periodic_tasks.send_notices()
    wait_for(lambda: started)
    periodic_tasks.send_notices()
    periodic_tasks.send_notices()
    assert len(started) == 1
    release.set()
    started[0].join(10)
    periodic_tasks.send_notices()
    wait_for(lambda: len(started) == 2)


def test_the_tasks_are_registered_with_the_clock(monkeypatch):
    calls = []
    monkeypatch.setattr(rule_checks, "check_rules", lambda: calls.append(1))
    periodic_tasks.check_rules()
    assert calls == [1]
    registered = {task.run for task in TASKS if task.run.__module__ == periodic_tasks.__name__}
    assert registered == {
        periodic_tasks.check_rules,
        periodic_tasks.send_notices,
        periodic_tasks.run_due_rechecks,
    }
