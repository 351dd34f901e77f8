"""A platform that answers what nobody expects: nothing is lost, paid twice, or breaks a page."""

import gzip
import json

import pytest
from django.urls import reverse

from finetune_app.jobs.models import State
from finetune_app.providers import guarded_client
from finetune_app.providers import services as providers
from finetune_app.remote_training.models import PlatformAccount, RemoteTraining
from tests.remote_training.conftest import step
from tests.remote_training.loopback import KEY, Fault
from tests.remote_training.test_never_twice import settle

START = "/fine_tuning/jobs"
PAGE = b"<html>Log in to the network first</html>"


@pytest.mark.parametrize(
    "fault",
    [
        Fault("GET", START, status=200),  # JSON, and no list
        Fault("GET", START, content=PAGE),
        Fault("GET", START, content=b"[" * 100_000, headers={"Content-Type": "application/json"}),
    ],
    ids=["other JSON", "a page", "deep JSON"],
)
def test_an_answer_without_a_list_does_not_start_it_again(start, platform, fault):
    platform.faults.append(Fault("POST", START, late=True))
    training = step(start())
    settle(training)
    platform.faults.append(fault)
    training = step(training)
    assert "is not OpenAI's format" in training.job.message
    assert len(platform.posted) == 1
    assert step(training).remote_id == platform.job["id"]


def test_a_web_page_is_no_platform(as_owner, platform):
    platform.faults.append(Fault("GET", START, content=PAGE))
    form = {"address": platform.url, "name": "A page", "key": KEY}
    answer = as_owner.post(f"{reverse('remote_training:add_account')}?platform=openai", form)
    assert "is not OpenAI&#x27;s format" in answer.text
    assert not PlatformAccount.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"status": None},
        {"status": "running" * 1000},
        {"status": "run\x00ning"},
        {"id": None},
        {"id": 7},
        {"fine_tuned_model": "m" * 500},
        {"fine_tuned_model": "a\nb"},
        {"error": "only a text"},
    ],
    ids=lambda fields: str(fields)[:30],
)
def test_a_job_that_is_none_is_asked_for_again(start, platform, fields):
    training = step(start())
    before = dict(platform.job)
    platform.become("running")
    platform.job.update(fields)
    training = step(training)
    assert training.job.state == State.QUEUED
    assert "is not OpenAI's format" in training.job.message
    platform.job.update(before)
    platform.succeed()
    assert step(training).job.state == State.SUCCEEDED


@pytest.mark.parametrize("value", [-5, 10**30, "many", 1.5, float("nan")], ids=str)
def test_numbers_that_are_none_are_not_kept(start, platform, value):
    training = step(start())
    platform.become("running", trained_tokens=value, estimated_finish=value)
    training = step(training)
    assert training.remote_state == "running"
    assert (training.trained_tokens, training.finishes_at) == (None, None)


def test_a_curve_of_impossible_numbers_breaks_no_page(start, platform, as_viewer):
    training = step(start())
    platform.become("running")
    platform.say("a", step=1, train_loss=float("nan"))
    platform.say("b", step=float("inf"), train_loss=1.0)
    platform.say("c", step=10**400, train_loss=10**400)
    platform.say("d", step=-3, train_loss=-1e14)
    platform.say("e", step=9e14, train_loss=2.5)
    training = step(training)
    assert training.events.count() == 5
    page = reverse("remote_training:detail", args=[training.goal_id, training.number])
    assert as_viewer.get(page).status_code == 200


def test_events_are_one_line_without_the_key_whatever_is_in_them(start, platform):
    training = step(start())
    platform.become("running")
    platform.say(f"your key\x00 is\u202e {KEY}\n" + "x" * 10_000)
    platform.say("times")
    platform.events[platform.job["id"]][1] |= {"created_at": "now", "level": None, "id": None}
    training = step(training)
    first, second = sorted(training.events.all(), key=lambda event: len(event.message))[::-1]
    assert first.message.startswith("your key is … x")
    assert len(first.message) == 300
    assert second.message == "times"


def test_a_platform_without_events_is_followed_all_the_same(start, platform):
    training = step(start())
    platform.succeed()
    platform.faults.append(Fault("GET", f"{START}/ftjob-1/events", status=404))
    assert step(training).job.state == State.SUCCEEDED


def test_more_events_than_were_asked_for_are_not_read(start, platform, monkeypatch):
    training = step(start())
    monkeypatch.setattr("finetune_app.remote_training.platforms.openai.MAX_EVENTS", 3)
    platform.become("running")
    for n in range(5):
        platform.say(f"Step {n}")
    monkeypatch.setattr(
        "tests.remote_training.stub_platform._page",
        lambda found, query: {"object": "list", "data": found, "has_more": True},
    )
    assert step(training).events.count() == 3


@pytest.mark.parametrize("compressed", [False, True], ids=["long", "compressed"])
def test_an_answer_of_any_size_is_not_read(start, platform, monkeypatch, compressed):
    monkeypatch.setattr(guarded_client, "MAX_ANSWER_BYTES", 50_000)
    training = step(start())
    body = json.dumps(platform.job | {"organization_id": "x" * 100_000}).encode()
    headers = {"Content-Type": "application/json"}
    if compressed:
        body, headers = gzip.compress(body), headers | {"Content-Encoding": "gzip"}
    platform.faults.append(Fault("GET", f"{START}/ftjob-1", content=body, headers=headers))
    training = step(training)
    assert "is not OpenAI's format" in training.job.message
    assert step(training).job.message == "It runs there: validating_files"


def test_a_wait_that_is_no_number_is_not_waited_for(start, platform):
    training = step(start())
    odd = {"Retry-After": "\u00b2"}  # a digit to str.isdigit, and no number
    platform.faults.append(Fault("GET", f"{START}/ftjob-1", status=429, headers=odd))
    assert step(training).job.state == State.QUEUED


def test_success_without_a_model_is_said_and_asked_for_again(start, platform, as_editor):
    training = step(start())
    platform.become("succeeded")
    training = step(training)
    assert training.job.state == State.FAILED
    assert "not how its model is called" in training.job.message
    platform.succeed()
    as_editor.post(reverse("remote_training:continue", args=[training.goal_id, training.number]))
    assert step(training).endpoint


def test_it_is_followed_however_often_the_platform_did_not_answer(start, platform):
    training = step(start())
    RemoteTraining.objects.update(failures=2000)
    platform.faults.append(Fault("GET", f"{START}/ftjob-1", status=500))
    assert step(training).job.state == State.QUEUED


def test_its_model_is_no_other_of_the_same_name(start, platform, team):
    training = step(start())
    name = f"{training.goal.name[:50]}, training {training.number} ({training.pk})"
    owner = team.memberships.get(role="owner").user
    other = providers.add(
        team=team, user=owner, consent_to="127.0.0.1", name=name, url=platform.url, model="other"
    )
    platform.succeed()
    training = step(training)
    assert training.endpoint != other
    assert training.endpoint.model == "ft:gpt-4.1-mini:team::9"
