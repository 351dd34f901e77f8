"""A training on a platform: sent, started, followed, and its model taken in."""

import json
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from finetune_app.jobs.models import Job, State
from finetune_app.providers.models import Endpoint
from finetune_app.remote_training import services
from tests.remote_training.conftest import step
from tests.remote_training.loopback import KEY, Fault


def rows_sent(platform, split):
    [content] = [content for name, content in platform.files.values() if split in name]
    return [json.loads(line) for line in content.splitlines()]


def test_training_and_practice_rows_are_sent_and_no_test_rows(start, platform, frozen):
    training = step(start())
    counts = training.version.counts
    assert len(rows_sent(platform, "train")) == counts["train"]
    assert len(rows_sent(platform, "validation")) == counts["validation"]
    assert len(platform.uploads) == 2
    assert rows_sent(platform, "train")[0].keys() == {"messages"}
    assert not (settings.DATA_DIR / training.folder).exists()  # nothing is left on this disk


def test_it_is_started_as_it_was_agreed(start, platform):
    training = step(start(epochs=2))
    [body] = platform.posted
    assert body["model"] == "gpt-4.1-mini"
    assert body["method"] == {
        "type": "supervised",
        "supervised": {"hyperparameters": {"n_epochs": 2}},
    }
    assert body["suffix"].endswith(f"-{training.number}")
    assert body["metadata"] == {"finetune_order": training.mark}
    assert training.remote_id == platform.job["id"]


def test_it_waits_without_a_worker_and_says_how_it_stands(start, platform):
    training = step(start())
    assert training.job.state == State.QUEUED
    assert training.job.not_before > timezone.now()
    assert training.job not in Job.objects.waiting()
    assert training.job.message == "It runs there: validating_files"
    platform.become("running", estimated_finish=1_790_000_000)
    training = step(training)
    assert training.remote_state == "running"
    assert training.finishes_at.year == 2026


def test_it_is_asked_less_and_less_often(start):
    training = start()
    waits = []
    for _n in range(4):
        training = step(training)
        waits.append(training.job.not_before - timezone.now())
    assert waits == sorted(waits)
    assert waits[0] < timedelta(seconds=20)
    training.polls = 10_000
    training.save()
    assert step(training).job.not_before - timezone.now() < timedelta(minutes=5, seconds=5)


def test_its_events_are_kept_once_each(start, platform):
    training = step(start())
    platform.say("Step 1: training loss 2.5", step=1, train_loss=2.5)
    training = step(training)
    platform.say("Step 2: training loss 1.5", step=2, train_loss=1.5)
    training = step(step(training))
    assert [event.message for event in training.events.all()] == [
        "Step 1: training loss 2.5",
        "Step 2: training loss 1.5",
    ]
    assert training.events.last().metrics == {"step": 2, "train_loss": 1.5}


def test_its_model_becomes_a_remote_model_of_the_team(start, platform, team):
    training = step(start())
    platform.succeed()
    training = step(training)
    assert training.job.state == State.SUCCEEDED
    assert training.trained_tokens == 1234
    endpoint = Endpoint.objects.get(team=team, model="ft:gpt-4.1-mini:team::9")
    assert endpoint.url == platform.url
    assert training.endpoint == endpoint
    assert KEY not in str(training.events.values()) + str(endpoint.secret)


def test_the_rows_that_were_sent_are_deleted_there(start, platform):
    training = step(start())
    assert len(platform.files) == 2
    platform.succeed()
    step(training)
    assert not platform.files


def test_a_file_that_cannot_be_deleted_there_is_said(start, platform):
    training = step(start())
    platform.succeed()
    platform.faults.append(Fault("DELETE", "/files/.*", status=500))
    training = step(training)
    assert training.job.state == State.SUCCEEDED
    [said] = training.events.all()
    assert f"{training.mark}-train.jsonl may still be there" in said.message
    assert [name for name, _content in platform.files.values()] == [f"{training.mark}-train.jsonl"]


def test_what_failed_there_fails_here_with_its_reason(start, platform):
    training = step(start())
    platform.become("failed", error={"code": "x", "message": "Row 3 is broken.", "param": None})
    training = step(training)
    assert training.job.state == State.FAILED
    assert training.job.message == "Row 3 is broken."


def test_a_state_that_nobody_knows_is_shown_as_it_is(start, platform):
    training = step(start())
    platform.become("compressing")
    training = step(training)
    assert training.job.state == State.QUEUED
    assert training.job.message == "It runs there: compressing"


def test_a_refusal_ends_it_with_the_platform_s_words(start, platform):
    training = step(start(model="gpt-9"))
    assert training.job.state == State.FAILED
    assert "The model gpt-9 does not exist" in training.job.message
    assert training.start_tried_at is None
    assert not platform.files  # nothing stays there for a training that is none


def test_after_a_refusal_it_is_sent_anew(start, platform):
    said = "You exceeded your current quota"
    fault = Fault("POST", "/fine_tuning/jobs", status=429, message=said, code="insufficient_quota")
    platform.faults.append(fault)
    training = step(start())
    assert "has no credit left" in training.job.message
    services.resume(training=training)
    training = step(training)
    assert training.remote_id == platform.job["id"]


def test_rows_do_not_stay_on_this_disk_when_sending_them_fails(start, platform):
    platform.faults.append(Fault("POST", "/files", status=500))
    training = step(start())
    assert not (settings.DATA_DIR / training.folder).exists()


def test_a_quota_of_requests_is_no_lack_of_credit(start, platform):
    said = "Quota exceeded for requests per minute"
    platform.faults.append(Fault("POST", "/fine_tuning/jobs", status=429, message=said))
    training = step(start())
    assert training.job.state == State.QUEUED
    assert "is busy" in training.job.message


def test_a_platform_that_refuses_its_events_does_not_keep_the_model_out(start, platform):
    training = step(start())
    platform.faults += [
        Fault("GET", "/fine_tuning/jobs/.*/events", status=403, message="Not for this key")
    ]
    platform.succeed()
    assert step(training).job.state == State.SUCCEEDED


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("GET", "/fine_tuning/jobs/.*", status=500), "an error of its own (500)"),
        (Fault("GET", "/fine_tuning/jobs/.*", status=429), "is busy"),
        (Fault("GET", "/fine_tuning/jobs/.*"), "cannot be reached just now"),
    ],
)
def test_a_platform_that_stumbles_is_asked_again(start, platform, fault, words):
    training = step(start())
    platform.faults.append(fault)
    training = step(training)
    assert training.job.state == State.QUEUED
    assert words in training.job.message
    platform.succeed()
    assert step(training).job.state == State.SUCCEEDED


def test_it_waits_as_long_as_the_platform_asks(start, platform):
    training = step(start())
    platform.faults.append(
        Fault("GET", "/fine_tuning/jobs/.*", status=429, headers={"Retry-After": "600"})
    )
    training = step(training)
    assert training.job.not_before - timezone.now() > timedelta(seconds=590)


def test_a_key_that_was_withdrawn_is_said_and_the_job_is_not_given_up(start, platform):
    training = step(start())
    platform.key = "sk-another"
    training = step(training)
    assert training.job.state == State.QUEUED
    assert "does not accept the key" in training.job.message
    assert KEY not in training.job.message
    platform.key = KEY
    platform.succeed()
    assert step(training).job.state == State.SUCCEEDED


def test_a_job_that_is_gone_there_fails_after_a_few_tries(start, platform):
    training = step(start())
    platform.jobs.clear()
    for _n in range(4):
        training = step(training)
        assert training.job.state == State.QUEUED
    training = step(training)
    assert training.job.state == State.FAILED
    assert "does not know it" in training.job.message


def test_one_odd_answer_after_an_outage_does_not_end_it(start, platform):
    training = step(start())
    here = "/fine_tuning/jobs/ftjob-1"
    platform.faults += [Fault("GET", here, status=502) for _n in range(6)]
    platform.faults.append(Fault("GET", here, status=404))
    for _n in range(7):
        training = step(training)
    assert training.job.state == State.QUEUED
    platform.succeed()
    assert step(training).job.state == State.SUCCEEDED


def test_no_step_is_missed_between_two_looks(start, platform):
    training = step(start())
    platform.become("running")
    for n in range(250):
        platform.say(f"Step {n}", step=n, train_loss=2.0)
    for event in platform.events[platform.job["id"]]:
        event["created_at"] = 1_790_000_000  # all in one second
    training = step(training)
    assert [event.metrics["step"] for event in training.events.all()] == list(range(250))
    platform.say("Step 250", step=250, train_loss=2.0)
    asked = len(platform.asked)
    training = step(training)
    assert training.events.last().metrics["step"] == 250
    assert len(platform.asked) == asked + 2  # the job, and one page of its events
