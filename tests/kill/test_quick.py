"""kill -9 of each process, while a job that counts is running."""

import signal

import pytest
from django.conf import settings

from finetune_app.celery import app
from finetune_app.jobs import process_ids, services
from finetune_app.jobs.models import ChildRun, Job, State
from tests.kill.conftest import Processes, kill, worker_of
from tests.worker.conftest import assert_one_at_a_time, child_of, steps_of


def assert_no_saved_step_was_repeated(job: Job) -> None:
    """Every step was done; each killed child repeats at most the step it had not saved."""
    done = [step for step, _, _ in steps_of(job)]
    assert sorted(set(done)) == list(range(1, job.spec["steps"] + 1))
    children = len({pid for _, pid, _ in steps_of(job)})
    assert len(done) - len(set(done)) <= children - 1


def test_creating_a_job_runs_it(processes: Processes, new_job):
    job = processes.until(new_job(), State.SUCCEEDED)
    assert (job.done, job.attempts) == (20, 1)


def test_a_light_job_runs_beside_a_heavy_one(processes: Processes, new_job):
    heavy = new_job(steps=2000)
    light = processes.until(new_job(kind="count-light", steps=3), State.SUCCEEDED)
    assert light.ended_at
    assert Job.objects.get(pk=heavy.pk).is_active


def test_repeated_wake_ups_start_no_second_child(processes: Processes, new_job):
    job = new_job()
    for _ in range(6):
        app.send_task("worker.run_heavy", [job.pk])
    processes.until(job, State.SUCCEEDED)
    for _ in range(3):
        app.send_task("worker.run_heavy", [job.pk])
    other = processes.until(new_job(steps=2), State.SUCCEEDED)
    assert ChildRun.objects.filter(job=job).count() == 1
    assert ChildRun.objects.filter(job=other).count() == 1
    assert [step for step, _, _ in steps_of(job)] == list(range(1, 21))


def test_killing_the_child_resumes_the_job(processes: Processes, new_job):
    job = new_job(steps=40)
    kill(child_of(job))
    job = processes.until(job, State.SUCCEEDED)
    assert job.attempts == 2
    assert_no_saved_step_was_repeated(job)
    assert_one_at_a_time(job)


def test_killing_the_supervisor_ends_its_child_and_resumes_the_job(processes: Processes, new_job):
    job = new_job(steps=40)
    child = child_of(job)
    kill(worker_of(job))
    processes.wait_for(lambda: process_ids.start_time(child.pid) is None)
    job = processes.until(job, State.SUCCEEDED)
    assert_no_saved_step_was_repeated(job)
    assert_one_at_a_time(job)


def test_killing_the_worker_leaves_no_orphan_and_resumes_the_job(processes: Processes, new_job):
    job = new_job(steps=40)
    child = child_of(job)
    main = processes.main_process("heavy")
    tree = [child, *main.children(recursive=True)]
    kill(main)
    processes.wait_for(lambda: all(process_ids.start_time(one.pid) is None for one in tree))
    job = processes.until(job, State.SUCCEEDED)
    assert_no_saved_step_was_repeated(job)
    assert_one_at_a_time(job)


@pytest.mark.skipif(not settings.BROKER_SOCKET, reason="the broker is not this test's own")
def test_killing_the_broker_stops_no_job_and_new_jobs_are_found(processes: Processes, new_job):
    job = new_job(steps=60)
    child_of(job)
    kill(processes.main_process("broker"))
    second = new_job(steps=3)
    processes.until(job, State.SUCCEEDED)
    processes.until(second, State.SUCCEEDED)
    assert ChildRun.objects.filter(job=job).count() == 1


def test_sigterm_to_a_worker_saves_and_requeues_its_job(processes: Processes, new_job):
    job = new_job(steps=60)
    child_of(job)
    kill(processes.main_process("heavy"), signal.SIGTERM)
    job = processes.until(job, State.SUCCEEDED)
    assert job.attempts == 1, "an orderly shutdown does not count as an attempt"
    assert [step for step, _, _ in steps_of(job)] == list(range(1, 61)), "no step was lost"
    assert_one_at_a_time(job)


def test_stop_and_continue_resume_from_the_last_step(processes: Processes, new_job):
    job = new_job(steps=60)
    child_of(job)
    services.ask_stop(job)
    stopped = processes.until(job, State.STOPPED)
    assert stopped.result["stopped"] is True
    services.ask_continue(stopped)
    job = processes.until(job, State.SUCCEEDED)
    assert [step for step, _, _ in steps_of(job)] == list(range(1, 61))
