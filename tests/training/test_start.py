"""One button: the spec is frozen and the job waits for a worker."""

import pytest
from django.db import connection
from django.utils.html import escape

from finetune_app.basemodels.estimates import automatic_for
from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.goals import services as goals
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job, State
from finetune_app.training import services
from finetune_app.training.models import Training
from tests import journey


def test_a_click_starts_a_training(as_editor, editor, ready, url):
    reply = as_editor.post(url("start"))
    assert reply["Location"] == url("detail", 1)
    training = Training.objects.get()
    assert (training.number, training.started_by) == (1, editor)
    assert training.version == services.newest_version(ready)
    assert (training.job.state, training.job.kind) == (State.QUEUED, "training")
    assert training.job.team == ready.team


@pytest.mark.parametrize("there", [True, False])
def test_it_waits_for_a_graphics_card_where_a_worker_has_one(
    as_editor, ready, url, monkeypatch, there
):
    """Else a worker without a card might take it, and need days."""
    monkeypatch.setattr(services, "some_have_a_card", lambda: there)
    as_editor.post(url("start"))
    training = Training.objects.get()
    assert training.job.needs_card == there
    assert training.job.card_bytes == pytest.approx(training.estimate["memory_bytes"], abs=1)


def test_the_spec_is_frozen_with_hashes(as_editor, ready, url):
    as_editor.post(url("start"))
    goals.choose_measure(goal=ready, kind="close", settings={})
    journey.freeze(ready, ready.created_by, count=70)
    training = Training.objects.get()
    assert training.version.number == 1
    assert training.spec["version_sha256"] == training.version.sha256
    assert training.spec["base_model_sha256"] == "a" * 64
    assert training.spec["measure"]["kind"] == "exact"
    assert {"epochs", "batch_size", "learning_rate", "rank", "seed"} <= set(training.spec)


def test_a_change_since_the_page_was_shown_is_reported(as_editor, ready, url):
    """In another tab a further version was frozen; pressing Train here must not take that one."""
    shown = {
        "version": services.newest_version(ready).pk,
        "base_model": BaseModelChoice.objects.get(goal=ready).base_model_id,
    }
    journey.freeze(ready, ready.created_by, count=70)
    reply = as_editor.post(url("start"), shown, follow=True)
    assert "has changed since you opened this page" in reply.content.decode()
    assert not Training.objects.exists()
    shown["version"] = services.newest_version(ready).pk
    as_editor.post(url("start"), shown)
    assert Training.objects.get().version.number == 2


def test_a_second_click_returns_the_same_training(as_editor, ready, url):
    first = as_editor.post(url("start"))
    second = as_editor.post(url("start"))
    assert first["Location"] == second["Location"]
    assert Job.objects.filter(kind="training").count() == 1


def test_after_a_training_ended_another_can_start(as_editor, owner, ready, url):
    journey.trained(ready, owner)
    assert as_editor.post(url("start"))["Location"] == url("detail", 2)


def test_changed_settings_are_used(as_editor, ready, url):
    chosen = {
        "epochs": "2",
        "learning_rate": "0.0001",
        "rank": "8",
        "seed": "5",
        "batch_size": "",
        "number_format": "fp32",
    }
    as_editor.post(url("start"), chosen)
    spec = Training.objects.get().spec
    assert (spec["epochs"], spec["learning_rate"], spec["rank"]) == (2, 1e-4, 8)
    assert (spec["seed"], spec["number_format"]) == (5, "fp32")
    assert spec["alpha"] == 32  # at any rank, as the page says
    assert spec["batch_size"] in (4, 8, 16)  # left empty: ours


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": "0"}, {"learning_rate": "9"}, {"rank": "a lot"}, {"number_format": "int1"}],
)
def test_a_wrong_setting_opens_the_drawer(as_editor, ready, url, wrong):
    reply = as_editor.post(url("start"), wrong)
    assert reply.status_code == 422
    assert '<details class="drawer" open>' in reply.content.decode()
    assert not Training.objects.exists()


def test_without_a_version_there_is_nothing_to_learn_from(as_editor, goal, url):
    goals.choose_measure(goal=goal, kind="exact", settings={})
    reply = as_editor.post(url("start"))
    assert reply.status_code == 400
    assert "Freeze a version of the dataset first" in reply.content.decode()
    assert not Job.objects.exists()


def test_without_a_base_model_there_is_nothing_to_start_from(as_editor, ready, url):
    BaseModelChoice.objects.all().delete()
    assert "Choose a base model first" in as_editor.post(url("start")).content.decode()
    assert not Job.objects.exists()


def test_without_a_measure_there_would_be_no_verdict(as_editor, ready, url):
    ready.measure = ""
    ready.save()
    assert as_editor.post(url("start")).status_code == 400
    assert not Job.objects.exists()


def test_the_launch_page_says_what_is_missing(as_editor, goal, url):
    assert "To the dataset" in as_editor.get(url("page")).content.decode()


def test_the_launch_page_explains_every_automatic_setting(as_editor, ready, url):
    page = as_editor.get(url("page")).content.decode()
    reasons = automatic_for(services.newest_version(ready)).reasons
    assert not [why for why in reasons.values() if escape(why) not in page]


def test_a_worker_is_woken_only_once_the_row_is_there(
    as_editor, ready, url, monkeypatch, django_capture_on_commit_callbacks
):
    seen = []
    monkeypatch.setattr(
        jobs, "wake_worker", lambda job: seen.append(Training.objects.filter(job=job).exists())
    )
    with django_capture_on_commit_callbacks(execute=True):
        as_editor.post(url("start"))
        assert seen == []
    assert seen == [True]


def test_a_fault_while_it_starts_leaves_no_job_behind(ready, owner, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(services, "frozen_spec", broken)
    assert connection.in_atomic_block
    with pytest.raises(RuntimeError):
        services.start(goal=ready, user=owner)
    assert not Job.objects.exists()


def test_only_editors_of_the_team_start(as_viewer, as_stranger, as_owner, ready, url):
    assert as_viewer.post(url("start")).status_code == 403
    assert as_stranger.post(url("start")).status_code == 404
    assert as_owner.get(url("start")).status_code == 405
    assert not Training.objects.exists()
    page = as_viewer.get(url("page")).content.decode()
    assert "You can look here, but only editors can start a training." in page
