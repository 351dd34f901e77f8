"""Cancelled here is cancelled there."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from finetune_app.core.errors import PlainError
from finetune_app.jobs import lease
from finetune_app.jobs.models import State
from finetune_app.remote_training import services
from finetune_app.remote_training.following import MAX_CANCEL_TRIES
from finetune_app.remote_training.jobs import MAX_CANCEL_SECONDS
from finetune_app.remote_training.models import RemoteTraining
from finetune_app.remote_training.presenters import money
from tests import journey
from tests.remote_training.conftest import step
from tests.remote_training.loopback import Fault


def test_before_anything_was_sent_it_just_stops(start, platform):
    training = start()
    services.stop(training=training)
    training.job.refresh_from_db()
    assert training.job.state == State.STOPPED
    assert not platform.uploads


def test_files_that_were_sent_already_are_taken_back(start, platform):
    platform.faults.append(Fault("POST", "/files", late=True))  # its answer never arrives
    training = step(start())
    assert platform.files
    services.stop(training=training)
    training = step(training)
    assert training.job.state == State.CANCELLED
    assert not platform.files
    assert not platform.posted


def test_a_stop_outlives_the_worker_that_had_to_see_to_it(start, platform):
    training = step(start())
    services.stop(training=training)
    killed = lease.take(training.job_id, worker="a:1:1")
    assert lease.release(killed) == State.QUEUED
    step(training)
    assert platform.job["status"] == "cancelled"


def test_a_platform_that_cancels_slowly_is_asked_with_pauses(start, platform, monkeypatch):
    training = step(start())
    services.stop(training=training)
    monkeypatch.setattr(platform, "_cancel", lambda job: (200, job))
    training = step(training)
    assert training.job.state == State.QUEUED
    assert training.job.not_before > timezone.now()


def test_a_platform_that_goes_on_all_the_same_is_given_up_in_the_end(
    start, platform, monkeypatch, frozen
):
    training = step(start())
    services.stop(training=training)
    monkeypatch.setattr(platform, "_cancel", lambda job: (200, job))
    training = step(training)
    assert training.job.state == State.QUEUED
    earlier = timezone.now() - timedelta(seconds=MAX_CANCEL_SECONDS + 1)
    RemoteTraining.objects.update(cancel_tried_at=earlier)
    training = step(training)
    assert training.job.state == State.FAILED
    assert "the platform still says “validating_files”" in training.job.message
    assert "Cancel it on the platform itself." in training.job.message
    services.delete(training=training, though_it_may_run=True)
    frozen.delete()


def test_continued_it_may_be_cancelled_anew(start, platform, monkeypatch):
    training = step(start())
    services.stop(training=training)
    monkeypatch.setattr(platform, "_cancel", lambda job: (200, job))
    earlier = timezone.now() - timedelta(seconds=MAX_CANCEL_SECONDS + 1)
    RemoteTraining.objects.update(cancel_tried_at=earlier)
    training = step(training)
    services.resume(training=training)
    platform.succeed()
    assert step(training).job.state == State.SUCCEEDED


def test_a_platform_that_never_answers_is_given_up_in_the_end(start, platform, frozen):
    """Else neither the goal nor the account could ever be deleted."""
    training = step(start())
    platform.key = "sk-another"
    services.stop(training=training)
    RemoteTraining.objects.update(failures=MAX_CANCEL_TRIES - 2)
    training = step(training)
    assert training.job.state == State.QUEUED
    training = step(training)
    assert training.job.state == State.FAILED
    assert "It may still run there, and cost." in training.job.message
    services.delete(training=training, though_it_may_run=True)
    frozen.delete()


def test_what_may_run_there_is_deleted_only_by_whoever_was_told(
    start, platform, frozen, account, as_editor
):
    training = step(start())
    journey.set_state(training.job, State.FAILED)
    with pytest.raises(PlainError, match="its end was never seen"), transaction.atomic():
        frozen.delete()
    args = [frozen.pk, training.number]
    page = as_editor.get(reverse("remote_training:detail", args=args)).text
    cost = money(training.expected_cost)
    assert f"It may still run on Platform as {training.remote_id}, and cost up to {cost}" in page
    delete = reverse("remote_training:delete", args=args)
    assert "its end was never seen" in as_editor.post(delete).text
    as_editor.post(delete, {"may_run": "known"})
    assert not RemoteTraining.objects.exists()
    account.refresh_from_db()
    assert services.spent_this_month(account) == training.expected_cost


def test_a_running_one_is_cancelled_there(start, platform):
    training = step(start())
    services.stop(training=training)
    training = step(training)
    assert platform.job["status"] == "cancelled"
    assert training.job.state == State.CANCELLED
    assert not platform.files
    assert training.endpoint is None


def test_it_is_due_at_once(start):
    training = step(start())
    assert training.job.not_before
    services.stop(training=training)
    training.job.refresh_from_db()
    assert training.job.not_before is None


def test_one_that_may_have_been_started_is_looked_for_and_cancelled(start, platform):
    platform.faults.append(Fault("POST", "/fine_tuning/jobs", late=True))
    training = step(start())
    assert not training.remote_id
    services.stop(training=training)
    training = step(training)
    assert platform.job["status"] == "cancelled"
    assert training.job.state == State.CANCELLED


def test_a_platform_that_stumbles_is_told_again(start, platform):
    training = step(start())
    services.stop(training=training)
    platform.faults.append(Fault("POST", "/fine_tuning/jobs/.*/cancel", status=500))
    training = step(training)
    assert training.job.state == State.QUEUED
    training = step(training)
    assert platform.job["status"] == "cancelled"
    assert training.job.state == State.CANCELLED


def test_one_that_was_done_already_is_kept(start, platform):
    training = step(start())
    platform.succeed()
    services.stop(training=training)
    training = step(training)
    assert training.job.state == State.SUCCEEDED
    assert training.endpoint


@pytest.mark.parametrize("status", [409, 500])
def test_one_that_was_done_already_is_kept_whatever_the_cancel_is_answered(start, platform, status):
    training = step(start())
    platform.succeed()
    services.stop(training=training)
    platform.faults.append(Fault("POST", "/fine_tuning/jobs/.*/cancel", status=status))
    training = step(training)
    assert training.job.state == State.SUCCEEDED
    assert training.endpoint


def test_what_runs_there_is_not_deleted_with_its_goal(start, frozen):
    training = step(start())
    with pytest.raises(PlainError, match="Cancel it first"), transaction.atomic():
        frozen.delete()
    assert RemoteTraining.objects.get() == training


def test_its_page_says_so_too(start, as_editor):
    training = step(start())
    delete = reverse("remote_training:delete", args=[training.goal_id, training.number])
    assert "Cancel it first" in as_editor.post(delete).text
    assert RemoteTraining.objects.exists()


def test_what_is_over_is(start, platform, frozen):
    training = step(start())
    platform.succeed()
    step(training)
    frozen.delete()
    assert not RemoteTraining.objects.exists()
