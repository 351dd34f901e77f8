"""Whatever is interrupted, there is one job on the platform, and it is found again."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from finetune_app.core.errors import PlainError
from finetune_app.jobs import lease
from finetune_app.jobs.models import Job, State
from finetune_app.remote_training import services
from finetune_app.remote_training.jobs import FollowingPlatform
from finetune_app.remote_training.models import RemoteTraining
from finetune_app.remote_training.platforms import openai
from finetune_app.remote_training.platforms.contract import PlatformError
from tests.remote_training.conftest import STUBS, on_every_platform, step
from tests.worker.conftest import environment


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


@on_every_platform
@pytest.mark.parametrize(
    ("what", "fault"),
    [
        ("start", {}),  # it never arrived
        ("start", {"late": True}),  # its answer never did
        ("start", {"status": 500}),
        ("start", {"status": 500, "late": True}),  # it was carried out all the same
        ("start", {"status": 429}),
        ("upload", {"late": True}),
        ("find file", {}),
        ("find", {"status": 503}),
    ],
    ids=str,
)
def test_a_request_without_an_answer_is_not_sent_again_unseen(start, platform, what, fault):
    platform.faults.append(platform.fault(what, **fault))
    training = to_the_end(step(start()), platform)
    assert training.job.state == State.SUCCEEDED
    assert len(platform.jobs) == 1
    assert len(platform.uploads) == 2


@on_every_platform
def test_a_request_that_may_still_arrive_is_waited_for(start, platform):
    platform.faults.append(platform.fault("start"))
    training = step(step(start()))
    assert len(platform.posted) == 0
    assert training.job.message == "Looking whether it was started already."


def test_it_is_waited_for_from_the_end_of_the_request(start, platform, monkeypatch):
    """A platform may take as long to answer as a request is waited for."""

    def slow(following):
        settle(following.training)  # it took an hour
        raise PlatformError("No answer.", retry_after=1.0)

    monkeypatch.setattr(FollowingPlatform, "start", slow)
    training = step(start())
    assert timezone.now() - training.start_tried_at < timedelta(minutes=1)
    monkeypatch.undo()
    assert step(training).job.message == "Looking whether it was started already."


def test_no_list_of_jobs_that_is_cut_off_starts_it_again(start, platform, monkeypatch):
    monkeypatch.setattr(openai, "MAX_PAGES", 1)
    platform.faults.append(platform.fault("start"))
    training = step(start())
    settle(training)
    platform.jobs = {f"ftjob-{n}": {"id": f"ftjob-{n}", "status": "queued"} for n in range(101)}
    training = step(training)
    assert "it is not known whether it was started" in training.job.message
    assert not platform.posted


def test_it_is_found_by_its_file_where_the_mark_is_not_kept(start, platform):
    platform.faults.append(platform.fault("start", late=True))
    training = step(start())
    platform.job["metadata"] = None
    settle(training)
    training = step(training)
    assert training.remote_id == platform.job["id"]
    assert len(platform.posted) == 1


def test_two_clicks_are_one_training(start):
    assert start() == start()
    assert RemoteTraining.objects.count() == 1


KILLED_AT = [
    (name, what)
    for name, stub in STUBS.items()
    for what in stub.requests
    if what not in ("find", "cancel")  # asked for only after something went wrong
]


@pytest.mark.long
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("platform", "what"), KILLED_AT, indirect=["platform"])
def test_killed_at_any_request_it_goes_on(transactional_db, start, platform, what, late):
    """kill -9 of the worker, before or after the platform has carried the request out."""
    training = start()
    if what == "delete file":
        training = step(training)
        platform.succeed()
    platform.faults.append(platform.fault(what, late=late, kill=True))
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


def test_continued_while_another_runs_would_be_two_paid_jobs(start, platform):
    first = start()
    services.stop(training=first)
    second = step(start())
    assert second != first
    with pytest.raises(PlainError, match=f"Training {second.number} of this goal runs there"):
        services.resume(training=reread(first))
    assert reread(first).job.state == State.STOPPED


def test_what_runs_there_already_is_followed_beside_another(start, platform):
    """Nobody could cancel it otherwise."""
    first = step(start())
    Job.objects.filter(pk=first.job_id).update(state=State.FAILED)
    step(start())
    services.resume(training=reread(first))
    assert reread(first).job.state == State.QUEUED


def reread(training: RemoteTraining) -> RemoteTraining:
    return RemoteTraining.objects.select_related("job").get(pk=training.pk)
