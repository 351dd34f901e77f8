"""The processes of `manage.py up`: what dies is started again, what is done is not."""

import sys

import pytest

from finetune_app.jobs.process_manager import ProcessManager
from tests.worker.conftest import wait_for

ENDS_WELL = [sys.executable, "-c", ""]
FAILS_ONCE = ["sh", "-c", 'test -e "$0" || { touch "$0"; exit 1; }']


@pytest.fixture
def manager(tmp_path):
    found = ProcessManager(tmp_path)
    yield found
    found.kill()


def test_what_is_done_is_said_once(manager):
    manager.add("starter", ENDS_WELL, when_done="It is ready.")
    assert wait_for(manager.restart_dead) == ["It is ready."]
    assert manager.processes == []
    assert manager.restart_dead() == []


def test_a_task_that_fails_is_done_again(manager, tmp_path):
    manager.add("starter", [*FAILS_ONCE, str(tmp_path / "tried")], when_done="It is ready.")
    assert "starter ended; starting it again" in wait_for(manager.restart_dead)[0]
    assert wait_for(manager.restart_dead) == ["It is ready."]


def test_a_process_that_should_not_end_is_started_again(manager):
    manager.add("clock", ENDS_WELL)
    first = manager.processes[0].process
    assert "clock ended; starting it again" in wait_for(manager.restart_dead)[0]
    assert manager.processes[0].process is not first
