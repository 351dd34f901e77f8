"""The same story on every platform: launched, followed, cancelled, and what its model is good for.

The platform's official client talks to a stub that knows the platform's rules.
"""

import json

import pytest
from django.conf import settings
from django.utils import timezone

from finetune_app.candidates.models import CandidateKind
from finetune_app.candidates.selection import option_by_key
from finetune_app.jobs.models import State
from finetune_app.providers.services import try_it
from finetune_app.remote_training import services
from tests.remote_training.conftest import on_every_platform, step
from tests.remote_training.loopback import KEY

pytestmark = on_every_platform


def rows_sent(platform, split: str) -> list:
    [content] = [content for name, content in platform.files.values() if split in name]
    return [json.loads(line) for line in content.splitlines()]


def test_the_rows_to_learn_from_are_sent_and_no_test_rows(start, platform):
    training = step(start())
    counts = training.version.counts
    assert len(platform.uploads) == 2
    for split in ("train", "validation"):
        assert len(rows_sent(platform, split)) == counts[split]
    assert not (settings.DATA_DIR / training.folder).exists()


def test_it_is_followed_to_a_model_that_answers(start, platform, frozen):
    training = step(start())
    assert training.remote_state == platform.states["waiting"]
    platform.become(platform.states["running"])
    said = platform.say("The files are checked.")
    platform.say("Step 10", step=10, train_loss=2.5, valid_loss=2.75)
    training = step(training)
    assert training.job.message.startswith(f"It runs there: {platform.states['running']}")
    assert said in [event.message for event in training.events.all()]
    platform.succeed()
    training = step(training)
    assert training.job.state == State.SUCCEEDED, training.job.message
    assert not platform.files
    candidate = option_by_key(frozen, f"remote-{training.number}").get_candidate()
    assert candidate.kind == CandidateKind.TUNED
    assert try_it(endpoint=candidate.endpoint).text
    assert KEY not in str(training.events.values())


def test_asked_again_and_again_it_says_each_thing_once(start, platform):
    training = step(start())
    platform.become(platform.states["running"])
    platform.say("The files are checked.")
    platform.say("Step 10", step=10, train_loss=2.5)
    once = step(training).events.count()
    assert step(training).events.count() == once


def test_a_state_that_nobody_knows_is_shown_as_it_is(start, platform):
    training = step(start())
    platform.become("MEDITATING")
    training = step(training)
    assert training.job.state == State.QUEUED
    assert "MEDITATING" in training.job.message


def test_cancelled_here_is_cancelled_there(start, platform):
    training = step(start())
    services.stop(training=training)
    training = step(training)
    assert training.job.state == State.CANCELLED, training.job.message
    assert training.remote_state == "cancelled"
    assert not platform.files


def test_what_failed_there_fails_here_with_its_reason(start, platform):
    training = step(start())
    platform.fail("Row 3 is broken.")
    training = step(training)
    assert training.job.state == State.FAILED
    assert training.job.message == "Row 3 is broken."


def test_a_model_that_is_not_there_is_said_before_anything_starts(start, platform):
    training = step(start(model="gpt-9"))
    assert training.job.state == State.FAILED
    assert "gpt-9" in training.job.message
    assert not platform.jobs
    assert not platform.files


def test_a_key_that_was_withdrawn_is_said_without_it(start, platform):
    training = step(start())
    platform.key = "sk-another"
    training = step(training)
    assert training.job.state == State.QUEUED
    assert "does not accept the key" in training.job.message
    assert KEY not in training.job.message


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"status": 500}, "an error of its own (500)"),
        ({"status": 429}, "is busy"),
        ({}, "cannot be reached just now"),
        ({"content": b"<html>Log in to the network first</html>"}, "format"),
        ({"content": b"{"}, "format"),
    ],
    ids=str,
)
def test_a_platform_that_stumbles_is_asked_again(start, platform, fault, words):
    training = step(start())
    platform.faults.append(platform.fault("poll", **fault))
    training = step(training)
    assert training.job.state == State.QUEUED
    assert words in training.job.message
    platform.succeed()
    assert step(training).job.state == State.SUCCEEDED


def test_it_waits_as_long_as_the_platform_asks(start, platform):
    training = step(start())
    wait = {"Retry-After": "600"}
    platform.faults.append(platform.fault("poll", status=429, headers=wait))
    training = step(training)
    assert (training.job.not_before - timezone.now()).total_seconds() > 590


def test_a_job_that_is_gone_there_fails_after_a_few_tries(start, platform):
    training = step(start())
    platform.jobs.clear()
    for _n in range(4):
        training = step(training)
        assert training.job.state == State.QUEUED
    assert step(training).job.state == State.FAILED
