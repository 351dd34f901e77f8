"""Supervise one job, with a real child process."""

import threading
import time
from types import SimpleNamespace

import pytest
from django.utils import timezone

from finetune_app.accounts.models import JobPriority, Team
from finetune_app.jobs import lease, preemption, process_ids, services
from finetune_app.jobs.models import ChildRun, Job, State
from tests.worker.conftest import (
    assert_one_at_a_time,
    child_of,
    handler_calls,
    meanwhile,
    steps_of,
    supervise,
    wait_for,
)
from tests.worker.counting import handlers
from worker import boot_clock, warm_child
from worker import supervise as supervise_module
from worker.supervise import Supervision


def test_supervising_a_job_stores_progress_events_and_result(new_job):
    job = supervise(new_job(steps=4))
    assert job.state == State.SUCCEEDED
    assert (job.done, job.total, job.unit) == (4, 4, "steps")
    assert job.phase == "counting"
    assert job.running_at <= job.ended_at <= timezone.now()
    assert handler_calls(job, "finish") == [{"steps": 4, "stopped": False}]
    assert [point["step"] for point in handler_calls(job, "record")] == [1, 2, 3, 4]


def test_a_child_run_records_start_end_and_exit_status(new_job):
    job = supervise(new_job())
    run = ChildRun.objects.get(job=job)
    assert (run.token, run.child, run.how) == (1, job.child, "exit 0")
    assert run.started_at < run.ended_at
    assert not process_ids.is_alive(run.child)


def test_a_killed_child_resumes_from_its_checkpoint(new_job):
    job = supervise(new_job(fault={"3": "die"}))
    assert job.state == State.QUEUED
    assert "going on from where it was last saved" in job.message
    job = supervise(job)
    assert job.state == State.SUCCEEDED
    assert [step for step, _, _ in steps_of(job)] == [1, 2, 3, 3, 4]
    assert_one_at_a_time(job)


def test_a_child_that_always_dies_fails_the_job_after_the_last_attempt(new_job, settings):
    settings.MAX_ATTEMPTS = 2
    job = supervise(supervise(new_job(fault={"2": "always_die"})))
    assert job.state == State.FAILED
    assert "2 times" in job.message
    assert "ran out of memory" in job.message
    assert "signal 9" in job.detail
    assert handler_calls(job, "fail") == [{"state": "failed"}]


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("user_error", "bad_data", "Row 3 has no answer"),
        ("raise", "crash", "Something went wrong inside Finetune"),
        ("no_memory", "out_of_memory", "not enough memory"),
    ],
)
def test_an_error_of_the_child_fails_the_job_with_its_message(new_job, fault, code, words):
    job = supervise(new_job(fault={"2": fault}))
    assert (job.state, job.error_code) == (State.FAILED, code)
    assert words in job.message
    assert "Traceback" in job.detail
    assert handler_calls(job, "fail")


@pytest.mark.parametrize("fault", ["user_error", "die"])
def test_what_a_child_said_just_before_its_end_is_stored(new_job, monkeypatch, fault):
    monkeypatch.setattr(supervise_module, "POLL_SECONDS", 1000.0)  # it is not written in between
    job = supervise(new_job(fault={"3": fault}))
    assert [point["step"] for point in handler_calls(job, "record")] == [1, 2]


def test_what_cannot_be_stored_keeps_no_job_from_ending(new_job, monkeypatch):
    def refuse(self, job, event):
        raise ValueError("no such point")

    monkeypatch.setattr(supervise_module, "POLL_SECONDS", 1000.0)
    monkeypatch.setattr(handlers.CountingHandler, "record", refuse)
    job = supervise(new_job(fault={"3": "user_error"}))
    assert (job.state, job.error_code) == (State.FAILED, "bad_data")


def test_stop_keeps_the_result_and_continue_resumes(new_job):
    job = new_job(steps=1000, pause=0.02)
    with meanwhile(lambda: services.ask_stop(job), after=1.0):
        job = supervise(job)
    assert (job.state, job.result["stopped"]) == (State.STOPPED, True)
    reached = job.result["steps"]
    Job.objects.filter(pk=job.pk).update(spec={"steps": reached + 3, "pause": 0})
    assert services.ask_continue(job)
    job = supervise(job)
    assert job.state == State.SUCCEEDED
    assert [step for step, _, _ in steps_of(job)] == list(range(1, reached + 4))
    assert_one_at_a_time(job)


def test_cancel_kills_the_child_and_calls_the_handler(new_job):
    job = new_job(steps=1000, pause=0.02)
    with meanwhile(lambda: services.cancel(job), after=1.0):
        job = supervise(job)
    assert job.state == State.CANCELLED
    assert handler_calls(job, "fail") == [{"state": "cancelled"}]
    assert not process_ids.is_alive(job.child)


def test_shutting_down_a_worker_requeues_its_job_without_an_attempt(new_job):
    shutting_down = threading.Event()
    job = new_job(steps=1000, pause=0.02)
    with meanwhile(shutting_down.set, after=1.0):
        job = supervise(job, shutting_down)
    assert (job.state, job.attempts) == (State.QUEUED, 0)
    last = max(step for step, _, _ in steps_of(job))
    assert (handlers.folder_of(job) / "saved").read_text() == str(last)


def test_a_shutdown_after_stop_leaves_its_own_time_to_save(new_job, monkeypatch):
    passed = 0.0  # since the stop, besides what really passes
    clock = SimpleNamespace(seconds=lambda: boot_clock.seconds() + passed)
    monkeypatch.setattr(supervise_module, "boot_clock", clock)
    monkeypatch.setattr(supervise_module, "POLL_SECONDS", 0.1)
    shutting_down = threading.Event()
    job = new_job(steps=1000, pause=2.5)  # a long step

    def stop_then_shut_down():
        nonlocal passed
        wait_for(lambda: steps_of(job))
        services.ask_stop(job)
        time.sleep(1.0)  # it has heard of the stop
        passed = 2 * supervise_module.SHUTDOWN_TIMEOUT_SECONDS
        shutting_down.set()

    with meanwhile(stop_then_shut_down):
        job = supervise(job, shutting_down)
    assert (job.state, job.result["stopped"]) == (State.STOPPED, True)
    assert (handlers.folder_of(job) / "saved").read_text() == "1"
    assert "signal" not in ChildRun.objects.get(job=job).how


def test_a_job_that_makes_room_goes_on_where_it_was(new_job):
    Team.objects.update(job_priority=JobPriority.WHEN_IDLE)
    job = new_job(steps=1000, pause=0.02)
    first = Team.objects.create(name="First", job_priority=JobPriority.FIRST)

    def wait_for_room():
        wait_for(lambda: len(steps_of(job)) > 5)
        services.create(team=first, kind="count-heavy", title="First", spec={})
        preemption.make_room()

    with meanwhile(wait_for_room):
        job = supervise(job)
    assert (job.state, job.attempts) == (State.QUEUED, 0)
    assert job.message.startswith("Makes room for work that comes first")
    reached = max(step for step, _, _ in steps_of(job))
    Job.objects.filter(pk=job.pk).update(spec={"steps": reached + 3, "pause": 0})
    job = supervise(job)
    assert (job.state, job.attempts) == (State.SUCCEEDED, 1)
    assert [step for step, _, _ in steps_of(job)] == list(range(1, reached + 4))
    assert_one_at_a_time(job)


def test_whoever_makes_room_may_take_its_time_to_save(new_job, monkeypatch):
    monkeypatch.setattr(supervise_module, "STOP_TIMEOUT_SECONDS", 0.0)
    job = new_job(steps=1000, pause=2.5)  # polled more than once within a step

    def make_room():
        wait_for(lambda: steps_of(job))
        Job.objects.filter(pk=job.pk).update(yield_asked=True)

    with meanwhile(make_room):
        job = supervise(job)
    assert job.state == State.QUEUED
    last = max(step for step, _, _ in steps_of(job))
    assert (handlers.folder_of(job) / "saved").read_text() == str(last)
    assert "signal" not in ChildRun.objects.get(job=job).how


def test_losing_the_lease_kills_the_child_and_writes_nothing(new_job):
    job = new_job(steps=1000, pause=0.02)

    def take_lease():
        wait_for(lambda: steps_of(job))
        Job.objects.filter(pk=job.pk).update(token=77, message="somebody else's")

    with meanwhile(take_lease):
        supervise(job)
    job = Job.objects.get(pk=job.pk)
    assert (job.token, job.message) == (77, "somebody else's")
    assert job.is_active, "its new holder ends it"
    assert not process_ids.is_alive(job.child)
    assert handler_calls(job, "finish") == handler_calls(job, "fail") == []


def test_deleting_a_running_job_kills_its_child(new_job):
    job = new_job(steps=1000, pause=0.02)

    def delete():
        wait_for(lambda: steps_of(job))
        Job.objects.filter(pk=job.pk).delete()

    taken = lease.take(job.pk, worker=process_ids.process_id())
    with meanwhile(delete):
        Supervision(taken, warm_child.new_light_child, threading.Event()).run()
    count = len(steps_of(job))
    time.sleep(0.3)
    assert len(steps_of(job)) == count


@pytest.mark.parametrize("end", ["is killed", "dies itself"])
def test_what_a_child_writes_after_the_deletion_of_its_job_is_deleted(new_job, data_dir, end):
    job = new_job(steps=1000, pause=60)  # a long step
    folder, log = handlers.folder_of(job), data_dir / "logs" / f"job-{job.pk}.log"

    def delete():
        child = child_of(job)
        wait_for(lambda: Job.objects.get(pk=job.pk).phase == "counting")
        services.discard(job.pk, folder=f"counting/{job.pk}")
        (folder / "checkpoints").mkdir(parents=True)  # as a checkpoint that began before
        log.write_text("Saving\n")
        if end == "dies itself":
            child.kill()

    taken = lease.take(job.pk, worker=process_ids.process_id())
    with meanwhile(delete):
        Supervision(taken, warm_child.new_light_child, threading.Event()).run()
    assert not folder.exists()
    assert not log.exists()


def test_an_error_in_finish_fails_the_job_which_can_continue(new_job, monkeypatch):
    def broken(self, job, result):
        raise RuntimeError("no adapter there")

    monkeypatch.setattr(handlers.CountingHandler, "finish", broken)
    job = supervise(new_job())
    assert (job.state, job.error_code) == (State.FAILED, "crash")
    assert "no adapter there" in job.detail
    assert job.can_continue


def test_output_of_print_goes_to_the_log_and_is_no_event(new_job, data_dir):
    job = supervise(new_job(fault={"1": "print"}))
    assert job.state == State.SUCCEEDED
    log = (data_dir / "logs" / f"job-{job.pk}.log").read_text()
    assert '{"event": "error"' in log


def test_a_job_without_a_child_runs_in_the_supervisor(new_job):
    job = supervise(new_job(kind="count-here", steps=3))
    assert (job.state, job.result) == (State.SUCCEEDED, {"steps": 3})
    assert [step["step"] for step in handler_calls(job, "step")] == [1, 2, 3]
    assert handler_calls(job, "finish") == [{"steps": 3}]
    assert not ChildRun.objects.filter(job=job).exists()


def test_an_error_of_a_job_without_a_child_fails_it(new_job):
    job = supervise(new_job(kind="count-here", steps=3, fault=2))
    assert (job.state, job.message) == (State.FAILED, "There is no next number.")
    assert handler_calls(job, "fail") == [{"state": "failed"}]


def test_a_job_without_a_child_stops_writing_when_it_loses_the_lease(new_job):
    job = new_job(kind="count-here", steps=1000, pause=0.02)

    def take_lease():
        wait_for(lambda: handler_calls(job, "step"))
        Job.objects.filter(pk=job.pk).update(token=77, message="somebody else's")

    with meanwhile(take_lease):
        supervise(job)
    job = Job.objects.get(pk=job.pk)
    assert (job.token, job.message) == (77, "somebody else's")
    assert handler_calls(job, "finish") == handler_calls(job, "fail") == []
