"""Choosing the model a goal starts from."""

import pytest

from finetune_app.basemodels.models import BaseModel, BaseModelChoice
from tests.basemodels.conftest import laid


@pytest.fixture
def starter(db) -> BaseModel:
    return laid("tiny", parameters=1000)


def test_an_editor_chooses_and_continues_to_training(as_editor, editor, goal, url, starter):
    reply = as_editor.post(url("choose"), {"base": "tiny"})
    assert (reply.status_code, reply.url) == (302, f"/goals/{goal.pk}/training/")
    choice = BaseModelChoice.objects.get(goal=goal)
    assert (choice.base_model, choice.chosen_by) == (starter, editor)


def test_another_choice_replaces_the_first(as_owner, goal, url, starter):
    laid("larger", parameters=2000)
    as_owner.post(url("choose"), {"base": "tiny"})
    as_owner.post(url("choose"), {"base": "larger"})
    assert BaseModelChoice.objects.get(goal=goal).base_model.slug == "larger"


@pytest.mark.parametrize("slug", ["", "nothing", "llama-3-8b-instruct", "../tiny"])
def test_what_is_not_installed_cannot_be_chosen(as_owner, url, starter, slug):
    reply = as_owner.post(url("choose"), {"base": slug})
    assert reply.status_code == 400
    assert "Install it first." in reply.content.decode()
    assert not BaseModelChoice.objects.exists()


def test_another_teams_own_model_cannot_be_chosen(as_owner, url, starter, stranger):
    starter.team = stranger.memberships.get().team
    starter.save()
    assert as_owner.post(url("choose"), {"base": "tiny"}).status_code == 400
    assert "Tiny" not in as_owner.get(url("page")).content.decode()


def test_viewers_and_strangers_may_not(as_viewer, as_stranger, as_owner, url, starter):
    assert as_viewer.post(url("choose"), {"base": "tiny"}).status_code == 403
    assert as_stranger.post(url("choose"), {"base": "tiny"}).status_code == 404
    assert as_owner.get(url("choose")).status_code == 405
    assert not BaseModelChoice.objects.exists()
