"""The clock looks and sends, and waits for no mail server."""

import threading

import pytest

from finetune_app.alerts import periodic_tasks, sending, services
from finetune_app.jobs.periodic_tasks import TASKS
from tests.worker.conftest import wait_for


@pytest.fixture
def sent(monkeypatch):
    """Counts who begins to send; each waits until it is let go, and may then break."""
    begun, go = [], threading.Event()

    def slow() -> int:
        begun.append(threading.current_thread())
        go.wait(10)
        raise RuntimeError("the mail server is on fire")

    monkeypatch.setattr(sending, "send_due", slow)
    yield begun, go
    go.set()
    for thread in begun:
        thread.join(10)


def test_sending_goes_on_beside_it_one_at_a_time_and_survives_a_fault(sent):
    begun, go = sent
    periodic_tasks.send_notices()
    wait_for(lambda: begun)
    periodic_tasks.send_notices()
    periodic_tasks.send_notices()
    assert len(begun) == 1
    go.set()
    begun[0].join(10)
    periodic_tasks.send_notices()
    wait_for(lambda: len(begun) == 2)


def test_the_clock_knows_what_to_do_for_alerts(monkeypatch):
    looked = []
    monkeypatch.setattr(services, "check_rules", lambda: looked.append(1))
    periodic_tasks.check_rules()
    assert looked == [1]
    ours = {task.run for task in TASKS if task.run.__module__ == periodic_tasks.__name__}
    assert ours == {
        periodic_tasks.check_rules,
        periodic_tasks.send_notices,
        periodic_tasks.run_due_rechecks,
    }
