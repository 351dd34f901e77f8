"""While the broker is away, workers find waiting jobs by themselves."""

import signal

import pytest
import redis
from django.conf import settings

from finetune_app.jobs import services
from finetune_app.jobs.models import ChildRun, Job, State
from tests.kill.conftest import Processes, kill
from tests.worker.conftest import assert_one_at_a_time, child_of, steps_of

pytestmark = pytest.mark.skipif(
    not settings.BROKER_SOCKET, reason="the broker is not this test's own"
)


def count(team, kind: str = "count-heavy", steps: int = 20) -> Job:
    spec = {"steps": steps, "pause": 0.05}
    return services.create(team=team, kind=kind, title="Count", spec=spec)


def test_work_begins_without_a_broker_and_goes_on_when_it_is_back(without_broker: Processes, team):
    processes = without_broker
    jobs = [count(team) for _ in range(2)] + [count(team, "count-light") for _ in range(3)]
    for job in jobs:
        done = processes.until(job, State.SUCCEEDED)
        assert (done.attempts, done.sent_at) == (1, None), "nothing could wake a worker"
        assert [step for step, _, _ in steps_of(job)] == list(range(1, 21))
    heavy = ChildRun.objects.filter(job__kind="count-heavy").order_by("started_at")
    assert heavy[0].ended_at <= heavy[1].started_at, "one at a time in a heavy worker"

    processes.start_broker()
    processes.wait_for(lambda: services.wake_worker(jobs[0]))
    broker = redis.Redis(unix_socket_path=str(settings.BROKER_SOCKET))
    processes.wait_for(lambda: not broker.llen("heavy"))  # a worker took the message
    processes.until(count(team, steps=3), State.SUCCEEDED)
    assert [one.restarts for one in processes.manager.processes] == [0, 0, 0, 0]


def test_a_job_found_without_a_broker_is_saved_when_its_worker_ends(
    without_broker: Processes, team
):
    processes = without_broker
    job = count(team, steps=200)
    child_of(job)
    kill(processes.main_process("heavy"), signal.SIGTERM)
    job = processes.until(job, State.SUCCEEDED)
    assert job.attempts == 1, "an orderly shutdown does not count as an attempt"
    assert [step for step, _, _ in steps_of(job)] == list(range(1, 201)), "no step was lost"
    assert len({pid for _, pid, _ in steps_of(job)}) == 2
    assert_one_at_a_time(job)


def test_a_job_of_a_message_is_saved_in_the_child_that_was_made_without_one(
    without_broker: Processes, team
):
    """The warm child dies with the thread that started it, which is the one that looks."""
    processes = without_broker
    first = count(team, steps=3)
    processes.until(first, State.SUCCEEDED)
    processes.start_broker()
    processes.wait_for(lambda: services.wake_worker(first))
    broker = redis.Redis(unix_socket_path=str(settings.BROKER_SOCKET))
    processes.wait_for(lambda: not broker.llen("heavy"))  # a worker took the message
    job = count(team, steps=200)
    child_of(job)
    kill(processes.main_process("heavy"), signal.SIGTERM)
    job = processes.until(job, State.SUCCEEDED)
    assert job.attempts == 1, "an orderly shutdown does not count as an attempt"
    assert [step for step, _, _ in steps_of(job)] == list(range(1, 201)), "no step was lost"
