"""Whatever is interrupted, there is one job on the hub, and nothing is left there."""

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from finetune_app.basemodels.models import HubToken
from finetune_app.core.errors import PlainError
from finetune_app.hub_training import services
from finetune_app.hub_training.models import HubTraining
from finetune_app.jobs import lease
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job, State
from finetune_app.remote_training import services as elsewhere
from tests.hub_training.conftest import step
from tests.hub_training.left_results import leave_results
from tests.worker.conftest import environment

pytestmark = pytest.mark.django_db(transaction=True)


def settle(training: HubTraining) -> None:
    """Lets the time pass in which a request may still arrive."""
    earlier = timezone.now() - timedelta(hours=1)
    HubTraining.objects.filter(pk=training.pk).exclude(start_tried_at=None).update(
        start_tried_at=earlier
    )


def to_the_end(training: HubTraining, hub, stub) -> HubTraining:
    for _n in range(8):
        if stub.jobs and not stub.job.ended:
            stub.job.ended = "COMPLETED"
            leave_results(hub, training)
        training = step(training)
        if training.job.state != State.QUEUED:
            return training
        settle(training)
    raise AssertionError(training.job.message)


FAULTS = [
    ("POST", "/api/repos/create"),
    ("POST", "/commit/"),
    ("POST", "/objects/batch"),
    ("PUT", "/_objects/put"),
    ("GET", "/api/jobs/hardware"),
    ("POST", "/api/jobs/kettle"),
    ("GET", "/api/jobs/kettle/job"),
    ("GET", "/resolve/"),
    ("DELETE", "/api/repos/delete"),
]


@pytest.mark.parametrize(("method", "where"), FAULTS)
@pytest.mark.parametrize(("status", "after"), [(0, False), (0, True), (503, False), (500, True)])
def test_a_request_without_an_answer_is_not_sent_again_unseen(
    start, hub, stub, method, where, status, after
):
    hub.fault(method, where, status, after=after)
    training = to_the_end(start(), hub, stub)
    assert training.job.state == State.SUCCEEDED, training.job.message
    assert len(stub.jobs) == 1
    assert training.training is not None
    if method == "DELETE":  # said, and left: it is tried once
        assert "delete it yourself" in training.left_there or after
    else:
        assert set(hub.repositories) == {("model", "kettle/tiny-base")}


def test_a_request_that_may_still_arrive_is_waited_for(start, hub, stub):
    hub.fault("POST", "/api/jobs/kettle", 0)
    training = step(step(start()))
    assert stub.jobs == []
    assert training.job.message == "Looking whether it was started already."


def test_two_clicks_are_one_training(start):
    assert start() == start()
    assert HubTraining.objects.count() == 1


def test_cancelled_there_and_here(start, hub, stub):
    training = step(start())
    assert stub.job.stage == "SCHEDULING"
    elsewhere.stop(training=training)
    training = step(training)
    assert training.job.state == State.CANCELLED
    assert stub.job.stage == "CANCELED"
    assert set(hub.repositories) == {("model", "kettle/tiny-base")}


def test_cancelled_though_its_start_was_never_answered(start, hub, stub):
    hub.fault("POST", "/api/jobs/kettle", 0, after=True)
    training = step(start())
    elsewhere.stop(training=training)
    settle(training)
    training = step(training)
    assert training.job.state == State.CANCELLED
    assert stub.job.stage == "CANCELED"


def test_a_start_that_never_arrived_may_not_run_there(start, hub, stub):
    hub.fault("POST", "/api/jobs/kettle", 0)
    training = step(start())
    assert training.may_run_there
    elsewhere.stop(training=training)
    settle(training)
    training = step(training)
    assert training.job.state == State.CANCELLED
    assert not training.may_run_there
    assert stub.jobs == []


def test_stopped_before_anything_was_sent(start, hub, stub):
    training = start()
    elsewhere.stop(training=training)
    assert Job.objects.get(pk=training.job_id).state == State.STOPPED
    assert hub.requests == []


def test_a_price_that_has_changed_is_not_paid(start, hub, stub):
    stub.hardware[1]["unitCostMicroUSD"] = 170
    training = step(start())
    assert training.job.state == State.FAILED
    assert "Its price has changed" in training.job.message
    assert stub.jobs == []
    assert set(hub.repositories) == {("model", "kettle/tiny-base")}


@pytest.mark.parametrize(
    ("status", "words"), [(402, "no credit left"), (403, "may not do this"), (418, "refused it")]
)
def test_a_refusal_starts_nothing_and_can_be_tried_again(start, hub, stub, status, words):
    hub.fault("POST", "/api/jobs/kettle", status)
    training = step(start())
    assert training.job.state == State.FAILED
    assert words in training.job.message
    assert set(hub.repositories) == {("model", "kettle/tiny-base")}
    services.resume(training=training)
    assert to_the_end(training, hub, stub).job.state == State.SUCCEEDED
    assert len(stub.jobs) == 1


def test_a_job_that_the_hub_forgot_is_given_up_after_five_times(start, hub, stub):
    training = step(start())
    stub.jobs.clear()
    for _n in range(4):
        training = step(training)
        assert training.job.state == State.QUEUED
    assert step(training).job.state == State.FAILED


def test_its_time_was_over_there(start, hub, stub):
    training = step(start())
    stub.job.ended = "ERROR"
    training = step(training)
    assert training.job.state == State.FAILED
    assert "Perhaps its time was over" in training.job.message
    assert not services.can_go_on(training)
    assert set(hub.repositories) == {("model", "kettle/tiny-base")}


def test_a_token_that_was_revoked_is_waited_for(start, hub, stub):
    training = step(start())
    person = hub.people.pop("hf_kettleLaneWrites")
    training = step(training)
    assert training.job.state == State.QUEUED
    assert "does not accept your team's token" in training.job.message
    hub.people["hf_kettleLaneWrites"] = person
    assert to_the_end(training, hub, stub).job.state == State.SUCCEEDED


def test_a_price_that_changed_after_an_unanswered_start_is_sent_anew(start, hub, stub):
    """What was sent is deleted then; a job without it would be paid for nothing."""
    hub.fault("POST", "/api/jobs/kettle", 0)
    training = step(start())
    settle(training)
    before = stub.hardware[1]
    stub.hardware[1] = before | {"unitCostMicroUSD": 900}
    assert step(training).job.state == State.FAILED
    stub.hardware[1] = before
    services.resume(training=reread(training))
    assert to_the_end(training, hub, stub).job.state == State.SUCCEEDED
    assert len(stub.jobs) == 1


def test_continued_while_another_runs_would_be_two_paid_jobs(start, hub, stub):
    first = start()
    elsewhere.stop(training=first)
    second = start()
    assert second != first
    with pytest.raises(PlainError, match=f"Training {second.number} of this goal runs there"):
        services.resume(training=reread(first))
    assert Job.objects.get(pk=first.job_id).state == State.STOPPED


def test_rows_that_stay_on_the_hub_are_named(start, hub, stub):
    """It is done there and cannot be fetched: Continue may help, so nothing is deleted yet."""
    training = step(start())
    stub.job.ended = "COMPLETED"
    training = step(training)
    assert training.job.state == State.FAILED
    assert training.data_repository in training.left_there
    assert training.result_repository in training.left_there
    leave_results(hub, training)
    services.resume(training=training)
    assert reread(training).left_there == ""
    assert step(training).left_there == ""


def test_without_a_token_it_is_said_that_it_may_run_on(start, stub):
    training = step(start())
    HubToken.objects.all().delete()
    training = step(training)
    assert training.job.state == State.FAILED
    assert "costs until its time is over" in training.job.message


def test_a_hub_without_jobs_is_given_up_before_anything_is_paid(start, hub, stub):
    hub.fault("GET", "/api/jobs/hardware", 404, times=5)
    training = start()
    for _n in range(5):
        training = step(training)
    assert training.job.state == State.FAILED
    assert set(hub.repositories) == {("model", "kettle/tiny-base")}


def reread(training: HubTraining) -> HubTraining:
    return HubTraining.objects.select_related("job", "goal").get(pk=training.pk)


@pytest.mark.long
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("method", "where"), FAULTS)
def test_killed_at_any_request_it_goes_on(start, hub, stub, monkeypatch, method, where, after):
    """kill -9 of the worker, before or after the hub has carried the request out."""
    monkeypatch.setattr(jobs, "wake_worker", lambda job: True)
    training = start()
    if where in ("/api/jobs/kettle/job", "/resolve/", "/api/repos/delete"):
        training = step(training)
        stub.job.ended = "COMPLETED"
        leave_results(hub, training)
    Job.objects.filter(pk=training.job_id).update(not_before=None)
    process: list[subprocess.Popen] = []

    def before(asked: str, path: str) -> None:
        if asked == method and where in path and process and not after:
            process[0].send_signal(signal.SIGKILL)

    hub.before = before
    if after:
        hub.fault(method, where, 0, after=True)
        hub.on_fault = lambda: process[0].send_signal(signal.SIGKILL)
    process.append(
        subprocess.Popen(
            [sys.executable, "-m", "tests.worker.supervisor", str(training.job_id)],
            cwd=settings.BASE_DIR,
            env=environment() | {"HF_ENDPOINT": hub.address},
        )
    )
    assert process[0].wait(timeout=120) == -signal.SIGKILL
    hub.before, hub.on_fault = (lambda asked, path: None), (lambda: None)
    job = Job.objects.get(pk=training.job_id)
    assert lease.release(job) == State.QUEUED  # as the clock does
    settle(training)
    training.refresh_from_db()
    training = to_the_end(training, hub, stub)
    assert training.job.state == State.SUCCEEDED, training.job.message
    assert len(stub.jobs) == 1
    assert set(hub.repositories) == {("model", "kettle/tiny-base")}
    assert os.path.isdir(settings.DATA_DIR / training.training.adapter_folder)
