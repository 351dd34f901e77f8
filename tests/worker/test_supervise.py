"""One job from its lease to its end, with a real child."""

import threading
import time

import pytest
from django.utils import timezone

from finetune_app.jobs import lease, process_ids, services
from finetune_app.jobs.models import ChildRun, Job, State
from tests.worker.conftest import (
    assert_one_at_a_time,
    meanwhile,
    steps_of,
    supervise,
    told,
    wait_for,
)
from tests.worker.counting import handlers
from worker import warm_child
from worker.supervise import Supervision


def test_a_job_runs_in_a_child_and_its_progress_is_in_the_database(new_job):
    job = supervise(new_job(steps=4))
    assert job.state == State.SUCCEEDED
    assert (job.done, job.total, job.unit) == (4, 4, "steps")
    assert job.phase == "counting"
    assert job.running_at <= job.ended_at <= timezone.now()
    assert told(job, "finish") == [{"steps": 4, "stopped": False}]
    assert [point["step"] for point in told(job, "record")] == [1, 2, 3, 4]


def test_a_child_run_says_when_the_child_lived(new_job):
    job = supervise(new_job())
    life = ChildRun.objects.get(job=job)
    assert (life.token, life.child, life.how) == (1, job.child, "exit 0")
    assert life.started_at < life.ended_at
    assert not process_ids.is_alive(life.child)


def test_a_child_killed_once_goes_on_from_its_checkpoint(new_job):
    job = supervise(new_job(trouble={"3": "die"}))
    assert job.state == State.QUEUED
    assert "going on from where it was last saved" in job.message
    job = supervise(job)
    assert job.state == State.SUCCEEDED
    assert [step for step, _, _ in steps_of(job)] == [1, 2, 3, 3, 4]
    assert_one_at_a_time(job)


def test_a_child_that_always_dies_is_given_up_with_a_plain_message(new_job, settings):
    settings.MAX_ATTEMPTS = 2
    job = supervise(supervise(new_job(trouble={"2": "always_die"})))
    assert job.state == State.FAILED
    assert "2 times" in job.message
    assert "ran out of memory" in job.message
    assert "signal 9" in job.detail
    assert told(job, "fail") == [{"state": "failed"}]


@pytest.mark.parametrize(
    ("trouble", "code", "words"),
    [
        ("user_error", "bad_data", "Row 3 has no answer"),
        ("raise", "crash", "Something went wrong inside Finetune"),
        ("no_memory", "out_of_memory", "not enough memory"),
    ],
)
def test_an_error_of_the_child_fails_the_job_in_plain_words(new_job, trouble, code, words):
    job = supervise(new_job(trouble={"2": trouble}))
    assert (job.state, job.error_code) == (State.FAILED, code)
    assert words in job.message
    assert "Traceback" in job.detail
    assert told(job, "fail")


def test_stop_keeps_what_was_done_and_continue_goes_on(new_job):
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


def test_cancel_kills_the_child_and_tells_the_room(new_job):
    job = new_job(steps=1000, pause=0.02)
    with meanwhile(lambda: services.cancel(job), after=1.0):
        job = supervise(job)
    assert job.state == State.CANCELLED
    assert told(job, "fail") == [{"state": "cancelled"}]
    assert not process_ids.is_alive(job.child)


def test_a_worker_that_leaves_hands_its_job_back_without_using_up_an_attempt(new_job):
    leaving = threading.Event()
    job = new_job(steps=1000, pause=0.02)
    with meanwhile(leaving.set, after=1.0):
        job = supervise(job, leaving)
    assert (job.state, job.attempts) == (State.QUEUED, 0)
    last = max(step for step, _, _ in steps_of(job))
    assert (handlers.folder_of(job) / "saved").read_text() == str(last)


def test_a_supervisor_that_lost_its_lease_kills_its_child_and_writes_nothing(new_job):
    job = new_job(steps=1000, pause=0.02)

    def steal():
        wait_for(lambda: steps_of(job))
        Job.objects.filter(pk=job.pk).update(token=77, message="somebody else's")

    with meanwhile(steal):
        supervise(job)
    job = Job.objects.get(pk=job.pk)
    assert (job.token, job.message) == (77, "somebody else's")
    assert job.is_active, "its new holder ends it"
    assert not process_ids.is_alive(job.child)
    assert told(job, "finish") == told(job, "fail") == []


def test_a_job_deleted_while_it_runs_takes_its_child_along(new_job):
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


def test_a_room_that_cannot_finish_leaves_a_failed_job_that_can_continue(new_job, monkeypatch):
    def broken(self, job, result):
        raise RuntimeError("no adapter there")

    monkeypatch.setattr(handlers.CountingHandler, "finish", broken)
    job = supervise(new_job())
    assert (job.state, job.error_code) == (State.FAILED, "crash")
    assert "no adapter there" in job.detail
    assert job.can_continue


def test_what_a_child_prints_is_in_its_log_and_cannot_pass_for_an_event(new_job, data_dir):
    job = supervise(new_job(trouble={"1": "print"}))
    assert job.state == State.SUCCEEDED
    log = (data_dir / "logs" / f"job-{job.pk}.log").read_text()
    assert '{"event": "error"' in log


def test_a_job_without_a_child_runs_in_the_supervisor(new_job):
    job = supervise(new_job(kind="count-here", steps=3))
    assert (job.state, job.result) == (State.SUCCEEDED, {"steps": 3})
    assert [step["step"] for step in told(job, "step")] == [1, 2, 3]
    assert told(job, "finish") == [{"steps": 3}]
    assert not ChildRun.objects.filter(job=job).exists()


def test_an_error_of_a_job_without_a_child_fails_it(new_job):
    job = supervise(new_job(kind="count-here", steps=3, trouble=2))
    assert (job.state, job.message) == (State.FAILED, "There is no next number.")
    assert told(job, "fail") == [{"state": "failed"}]


def test_a_job_without_a_child_that_lost_its_lease_writes_nothing_more(new_job):
    job = new_job(kind="count-here", steps=1000, pause=0.02)

    def steal():
        wait_for(lambda: told(job, "step"))
        Job.objects.filter(pk=job.pk).update(token=77, message="somebody else's")

    with meanwhile(steal):
        supervise(job)
    job = Job.objects.get(pk=job.pk)
    assert (job.token, job.message) == (77, "somebody else's")
    assert told(job, "finish") == told(job, "fail") == []
