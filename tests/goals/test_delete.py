"""Delete a goal with its rows, files and jobs."""

from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.urls import reverse

from finetune_app.accounts.models import Team
from finetune_app.accounts.services import delete_team
from finetune_app.basemodels.models import BaseModel
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job
from finetune_app.training import services as trainings
from tests import journey

BELOW = ("goals", "datasets", "versions", "training", "candidates", "evaluation")


@pytest.fixture
def url(goal):
    return reverse("goals:delete", args=[goal.pk])


@pytest.fixture
def finished_goal(goal, owner):
    """A goal with all steps done, and another training waiting."""
    journey.ready(goal, owner)
    journey.evaluated(journey.trained(goal, owner), owner)
    trainings.start(goal=goal, user=owner)
    return goal


def rows_below() -> dict[str, int]:
    models = [model for app in BELOW for model in apps.get_app_config(app).get_models()]
    return {m.__name__: m.objects.count() for m in models if m.objects.count()}


def files(goal: Goal) -> list[Path]:
    folders = [f"versions/{goal.dataset.pk}", *(one.folder for one in goal.trainings.all())]
    data = Path(settings.DATA_DIR)
    return [file for name in folders for file in (data / name).rglob("*") if file.is_file()]


def test_deleting_a_goal_deletes_everything_below_it(
    as_owner, finished_goal, url, django_capture_on_commit_callbacks
):
    before = files(finished_goal)
    assert {file.name for file in before} >= {"1.jsonl", "adapter_model.safetensors"}
    assert {"Version", "Training", "Candidate", "Evaluation", "Answer"} <= rows_below().keys()
    with django_capture_on_commit_callbacks(execute=True):
        reply = as_owner.post(url)
    assert reply["Location"] == reverse("guide:home")
    assert rows_below() == {}
    assert not Job.objects.exists()
    assert not [file for file in before if file.exists()]
    assert BaseModel.objects.count() == 1  # it belongs to no goal


def test_the_page_asks_before_deleting(as_owner, goal, url):
    page = as_owner.get(url).content.decode()
    assert "Delete “Sort shop emails”?" in page
    assert Goal.objects.filter(pk=goal.pk).exists()


def test_the_next_page_confirms_the_deletion(as_owner, goal, url):
    reply = as_owner.post(url, follow=True)
    assert "“Sort shop emails” and everything in it is deleted." in reply.content.decode()


def test_only_an_owner_can_delete(as_editor, as_viewer, as_stranger, goal, url):
    assert as_editor.post(url).status_code == 403
    assert as_viewer.post(url).status_code == 403
    assert as_stranger.post(url).status_code == 404
    assert Goal.objects.filter(pk=goal.pk).exists()


def test_deleting_a_team_deletes_its_models_and_their_trainings(team, goal, owner):
    journey.ready(goal, owner, journey.install("own", team=team))
    journey.evaluated(journey.trained(goal, owner), owner)
    delete_team(team=team)
    assert not Team.objects.filter(pk=team.pk).exists()
    assert not BaseModel.objects.exists()
