"""Whatever is interrupted, there is one job on the platform, and it is found again."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from finetune_app.jobs import lease
from finetune_app.jobs.models import Job, State
from finetune_app.remote_training.models import RemoteTraining
from tests.remote_training.conftest import step
from tests.remote_training.stub_platform import Fault
from tests.worker.conftest import environment

START, UPLOAD = "/fine_tuning/jobs", "/files"


def settle(training: RemoteTraining) -> None:
    """Lets the time pass in which a request may still arrive."""
    earlier = timezone.now() - timedelta(hours=1)
    RemoteTraining.objects.filter(pk=training.pk).update(start_tried_at=earlier)


def to_the_end(training: RemoteTraining, platform) -> RemoteTraining:
    for _n in range(6):
        if training.remote_id:
            platform.succeed()
        training = step(training)
        if training.job.state != State.QUEUED:
            return training
        if not training.remote_id:
            settle(training)
    raise AssertionError(training.job.message)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", START),  # it never arrived
        Fault("POST", START, late=True),  # its answer never did
        Fault("POST", START, status=500),
        Fault("POST", START, status=500, late=True),  # it was carried out all the same
        Fault("POST", START, status=429),
        Fault("POST", UPLOAD, late=True),
        Fault("GET", UPLOAD),
        Fault("GET", START, status=503),
    ],
    ids=lambda one: f"{one.method} {one.path} {one.status} {'late' if one.late else ''}",
)
def test_a_request_without_an_answer_is_not_sent_again_unseen(start, platform, fault):
    platform.faults.append(fault)
    training = to_the_end(step(start()), platform)
    assert training.job.state == State.SUCCEEDED
    assert len(platform.jobs) == 1
    assert len(platform.uploads) == 2


def test_a_request_that_may_still_arrive_is_waited_for(start, platform):
    platform.faults.append(Fault("POST", START))
    training = step(step(start()))
    assert len(platform.posted) == 0
    assert training.job.message == "Looking whether it was started already."


def test_it_is_found_by_its_file_where_the_mark_is_not_kept(start, platform):
    platform.faults.append(Fault("POST", START, late=True))
    training = step(start())
    platform.job["metadata"] = None
    settle(training)
    training = step(training)
    assert training.remote_id == platform.job["id"]
    assert len(platform.posted) == 1


def test_two_clicks_are_one_training(start):
    assert start() == start()
    assert RemoteTraining.objects.count() == 1


@pytest.mark.long
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/files"),
        ("POST", "/files"),
        ("POST", "/fine_tuning/jobs"),
        ("GET", "/fine_tuning/jobs/ftjob-1"),
        ("GET", "/fine_tuning/jobs/ftjob-1/events"),
        ("DELETE", "/files/file-1"),
    ],
)
def test_killed_at_any_request_it_goes_on(transactional_db, start, platform, method, path, late):
    """kill -9 of the worker, before or after the platform has carried the request out."""
    training = start()
    if method == "DELETE":
        training = step(training)
        platform.succeed()
    platform.faults.append(Fault(method, path, late=late, kill=True))
    killed_while_it_steps(training, platform)
    job = Job.objects.get(pk=training.job_id)
    assert lease.release(job) == State.QUEUED  # as the clock does
    training.refresh_from_db()
    if training.start_tried_at:
        settle(training)
    training = to_the_end(training, platform)
    assert training.job.state == State.SUCCEEDED
    assert len(platform.jobs) == 1
    assert len(platform.uploads) == 2
    assert not platform.files


def killed_while_it_steps(training: RemoteTraining, platform) -> None:
    Job.objects.filter(pk=training.job_id).update(not_before=None)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.worker.supervisor", str(training.job_id)],
        env=os.environ | environment() | {"ENDPOINTS_ALLOWED": platform.place},
        cwd=settings.BASE_DIR,
    )
    platform.victim = process.pid
    assert process.wait(timeout=60) == -9
