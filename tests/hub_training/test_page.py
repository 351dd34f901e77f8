"""Who may have a training done on the hub: the page, its agreement, and its record."""

import pytest
from django.urls import reverse
from django.utils import timezone

from finetune_app.basemodels.models import HubToken
from finetune_app.goals.models import Goal
from finetune_app.hub_training.models import OVER, HubTraining
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job, State
from finetune_app.remote_training import services as elsewhere
from tests import journey


@pytest.fixture
def url(goal):
    return lambda name="launch", *ids: reverse(f"hub_training:{name}", args=[goal.pk, *ids])


@pytest.fixture(autouse=True)
def _asleep(monkeypatch):
    monkeypatch.setattr(jobs, "wake_worker", lambda job: True)


GIVEN = {"flavor": "t4-small", "hours": "3", "namespace": "lane", "consent": "on"}
AGREED = GIVEN | {"agreed": "1, tiny-base, t4-small, 3, 1.2001"}


def test_machines_prices_and_the_most_it_costs(as_editor, ready, token, stub, url):
    page = as_editor.get(url(), {"flavor": "t4-small", "hours": "3"}).content.decode()
    assert "Nvidia T4 - small, 1 x T4, 15 GB: 0.40 $ an hour" in page
    assert "CPU Basic" in page
    assert "at most 1.20 $: 0.006667 $ a minute, for 3 hours" in page


def test_an_editor_agrees_and_follows_it(as_editor, editor, ready, token, stub, url):
    reply = as_editor.post(url(), AGREED)
    training = HubTraining.objects.get()
    assert reply.url == url("detail", training.number)
    assert (training.flavor, training.namespace, training.agreed_by) == ("t4-small", "lane", editor)
    assert (training.timeout_seconds, training.job.kind) == (10_800, "hub_train")
    page = as_editor.get(reply.url).content.decode()
    assert "every 5s" in page
    where = as_editor.get(reverse("remote_training:where", args=[ready.pk])).content.decode()
    assert url("detail", training.number) in where


def test_after_one_was_over_another_one_is_agreed_to_again(as_editor, ready, token, stub, url):
    """The back button shows the old page, with everything filled in."""
    assert 'name="after" value="0"' in as_editor.get(url()).text
    as_editor.post(url(), AGREED | {"after": "0"})
    journey.set_state(Job.objects.get(), State.SUCCEEDED)
    reply = as_editor.post(url(), AGREED | {"after": "0"})
    assert reply.status_code == 422
    assert "was started since this page was opened" in reply.text
    assert HubTraining.objects.count() == 1
    as_editor.post(url(), AGREED | {"after": "1"})
    assert HubTraining.objects.count() == 2


def test_who_asks_for_another_one_is_told_that_one_runs(
    as_editor, as_owner, ready, token, stub, url
):
    as_editor.post(url(), AGREED)
    assert "so yours was not started" not in as_editor.post(url(), AGREED, follow=True).text
    answer = as_owner.post(url(), AGREED, follow=True)
    assert "so yours was not started" in answer.text
    assert HubTraining.objects.count() == 1


def test_nothing_starts_without_the_agreement_that_was_shown(as_editor, ready, token, stub, url):
    for given in (GIVEN, GIVEN | {"agreed": "1, tiny-base, t4-small, 1, 0.4000"}):
        reply = as_editor.post(url(), given)
        assert reply.status_code == 422
        assert "has changed" in reply.content.decode()
    without = {name: value for name, value in AGREED.items() if name != "consent"}
    assert as_editor.post(url(), without).status_code == 422
    for wrong in ({"flavor": "h100"}, {"hours": "0"}, {"hours": "49"}, {"namespace": "others"}):
        assert as_editor.post(url(), AGREED | wrong).status_code == 422
    assert not HubTraining.objects.exists()


def test_without_a_token_that_may_write(as_editor, ready, token, stub, url):
    HubToken.objects.update(role="read")
    assert as_editor.get(url()).status_code == 409
    HubToken.objects.all().delete()
    assert "role “write”" in as_editor.get(url()).content.decode()


@pytest.mark.parametrize(
    "answer", [[], {}, [{"name": "x"}], [3], [{"name": "x", "unitLabel": "hour"}]]
)
def test_hardware_that_cannot_be_read(as_editor, ready, token, stub, url, answer):
    stub.hardware = answer
    assert as_editor.get(url()).status_code == 502


def test_others_may_not(as_viewer, as_stranger, as_editor, ready, token, stub, url):
    for client, status in ((as_viewer, 403), (as_stranger, 404)):
        assert client.get(url()).status_code == status
        assert client.post(url(), AGREED).status_code == status
    as_editor.post(url(), AGREED)
    number = HubTraining.objects.get().number
    assert as_viewer.get(url("detail", number)).status_code == 200
    assert as_stranger.get(url("detail", number)).status_code == 404
    for name in ("stop", "continue", "delete"):
        assert as_viewer.post(url(name, number)).status_code == 403
        assert as_stranger.post(url(name, number)).status_code == 404
        assert as_editor.get(url(name, number)).status_code == 405


def test_what_runs_there_is_not_deleted_nor_its_goal(as_editor, as_owner, ready, token, stub, url):
    as_editor.post(url(), AGREED)
    training = HubTraining.objects.get()
    reply = as_editor.post(url("delete", training.number))
    assert "still runs on the hub" in reply.content.decode()
    as_owner.post(reverse("goals:delete", args=[ready.pk]))
    assert HubTraining.objects.exists()
    as_editor.post(url("stop", training.number))
    assert Job.objects.get(pk=training.job_id).state == State.STOPPED
    as_editor.post(url("delete", training.number))
    assert not HubTraining.objects.exists()


@pytest.fixture
def unseen(as_editor, ready, token, stub, url) -> HubTraining:
    """It was started, and is not followed any more: its end was never seen."""
    as_editor.post(url(), AGREED)
    HubTraining.objects.update(start_tried_at=timezone.now(), remote_id="job0", stage="RUNNING")
    journey.set_state(Job.objects.get(), State.FAILED, message="The hub does not know it.")
    return HubTraining.objects.get()


def test_what_may_run_there_is_deleted_only_by_whoever_was_told(as_editor, unseen, url):
    page = as_editor.get(url("detail", unseen.number)).text
    assert "It may still run on the hub as job0, and cost up to 1.20 $" in page
    assert 'name="may_run"' in page
    reply = as_editor.post(url("delete", unseen.number))
    assert "its end was never seen" in reply.text
    assert HubTraining.objects.exists()
    as_editor.post(url("delete", unseen.number), {"may_run": "known"})
    assert not HubTraining.objects.exists()


def test_nor_is_it_deleted_with_its_goal(as_owner, unseen, ready):
    as_owner.post(reverse("goals:delete", args=[ready.pk]))
    assert HubTraining.objects.exists()
    elsewhere.delete(training=unseen, though_it_may_run=True)
    as_owner.post(reverse("goals:delete", args=[ready.pk]))
    assert not Goal.objects.exists()


@pytest.mark.parametrize("stage", OVER)
def test_what_is_over_there_is_deleted_without_a_word(as_editor, unseen, url, stage):
    HubTraining.objects.update(stage=stage)
    assert "may_run" not in as_editor.get(url("detail", unseen.number)).text
    as_editor.post(url("delete", unseen.number))
    assert not HubTraining.objects.exists()


def test_a_training_that_failed_there_is_not_continued(as_editor, ready, token, stub, url):
    as_editor.post(url(), AGREED)
    training = HubTraining.objects.get()
    HubTraining.objects.update(stage="ERROR")
    journey.set_state(training.job, State.FAILED, message="Not enough memory there.")
    page = as_editor.get(url("detail", training.number)).content.decode()
    assert "Not enough memory there." in page
    assert url("continue", training.number) not in page
    assert as_editor.post(url("continue", training.number)).status_code == 400
