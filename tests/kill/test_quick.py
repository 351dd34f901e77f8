"""kill -9 of each process in turn, with a job that only counts."""

import signal

import pytest
from django.conf import settings

from finetune_app.celery import app
from finetune_app.jobs import process_ids, services
from finetune_app.jobs.models import ChildRun, Job, State
from tests.kill.conftest import Processes, kill, worker_of
from tests.worker.conftest import assert_one_at_a_time, child_of, steps_of


def assert_each_step_was_kept(job: Job) -> None:
    """Every step was done, and no saved step was repeated."""
    done = [step for step, _, _ in steps_of(job)]
    assert sorted(set(done)) == list(range(1, job.spec["steps"] + 1))
    lives = len({pid for _, pid, _ in steps_of(job)})
    assert len(done) - len(set(done)) <= lives - 1


def test_a_job_is_picked_up_and_runs_by_itself(managed: Processes, new_job):
    job = managed.until(new_job(), State.SUCCEEDED)
    assert (job.done, job.attempts) == (20, 1)


def test_light_work_does_not_wait_for_heavy_work(managed: Processes, new_job):
    heavy = new_job(steps=2000)
    light = managed.until(new_job(kind="count-light", steps=3), State.SUCCEEDED)
    assert light.ended_at
    assert Job.objects.get(pk=heavy.pk).is_active


def test_a_message_that_comes_again_and_again_changes_nothing(managed: Processes, new_job):
    job = new_job()
    for _ in range(6):
        app.send_task("worker.run_heavy", [job.pk])
    managed.until(job, State.SUCCEEDED)
    for _ in range(3):
        app.send_task("worker.run_heavy", [job.pk])
    other = managed.until(new_job(steps=2), State.SUCCEEDED)
    assert ChildRun.objects.filter(job=job).count() == 1
    assert ChildRun.objects.filter(job=other).count() == 1
    assert [step for step, _, _ in steps_of(job)] == list(range(1, 21))


def test_kill_9_of_the_child(managed: Processes, new_job):
    job = new_job(steps=40)
    kill(child_of(job))
    job = managed.until(job, State.SUCCEEDED)
    assert job.attempts == 2
    assert_each_step_was_kept(job)
    assert_one_at_a_time(job)


def test_kill_9_of_the_supervisor(managed: Processes, new_job):
    job = new_job(steps=40)
    child = child_of(job)
    kill(worker_of(job))
    managed.wait_for(lambda: process_ids.start_time(child.pid) is None)
    job = managed.until(job, State.SUCCEEDED)
    assert_each_step_was_kept(job)
    assert_one_at_a_time(job)


def test_kill_9_of_the_worker_leaves_no_orphan_and_the_job_goes_on(managed: Processes, new_job):
    job = new_job(steps=40)
    child = child_of(job)
    main = managed.main_process("heavy")
    family = [child, *main.children(recursive=True)]
    kill(main)
    managed.wait_for(lambda: all(process_ids.start_time(one.pid) is None for one in family))
    job = managed.until(job, State.SUCCEEDED)
    assert_each_step_was_kept(job)
    assert_one_at_a_time(job)


@pytest.mark.skipif(not settings.BROKER_SOCKET, reason="the broker is not this test's own")
def test_kill_9_of_the_broker_stops_nothing_and_new_work_is_found(managed: Processes, new_job):
    job = new_job(steps=60)
    child_of(job)
    kill(managed.main_process("broker"))
    second = new_job(steps=3)
    managed.until(job, State.SUCCEEDED)
    managed.until(second, State.SUCCEEDED)
    assert ChildRun.objects.filter(job=job).count() == 1


def test_a_worker_that_is_asked_to_end_saves_and_hands_its_job_back(managed: Processes, new_job):
    job = new_job(steps=60)
    child_of(job)
    kill(managed.main_process("heavy"), signal.SIGTERM)
    job = managed.until(job, State.SUCCEEDED)
    assert job.attempts == 1, "an orderly end does not count as an attempt"
    assert [step for step, _, _ in steps_of(job)] == list(range(1, 61)), "no step was lost"
    assert_one_at_a_time(job)


def test_stop_and_continue_over_real_workers(managed: Processes, new_job):
    job = new_job(steps=60)
    child_of(job)
    services.ask_stop(job)
    stopped = managed.until(job, State.STOPPED)
    assert stopped.result["stopped"] is True
    services.ask_continue(stopped)
    job = managed.until(job, State.SUCCEEDED)
    assert [step for step, _, _ in steps_of(job)] == list(range(1, 61))
