"""Let a deployment answer under other names, and take a name away."""

import pytest
from django.utils.text import slugify

from finetune_app.basemodels.catalogue import STARTER
from finetune_app.core.errors import PlainError
from finetune_app.deployment import aliases, services
from finetune_app.deployment.models import ModelAlias
from finetune_app.goals.models import Goal

OLD_NAME = "ft:gpt-4o-mini-2024-07-18:my-shop::A1b2C3"


@pytest.fixture
def other_live(live, goal, owner, team):
    """A deployment of another goal of the team."""
    other = Goal.objects.create(team=team, name="Write replies", created_by=owner)
    return services.go_live(goal=other, candidate=live.current.candidate, by=owner).deployment


def add(client, url, name):
    return client.post(url("add_alias"), {"name": name}, follow=True)


def test_an_editor_adds_a_name_and_removes_it(live, as_editor, url):
    page = add(as_editor, url, f" {OLD_NAME} ")
    assert f"It now answers under the name {OLD_NAME}, too." in page.content.decode()
    [alias] = live.aliases.all()
    assert alias.name == OLD_NAME
    assert page.content.decode().count("Also called") == 1
    reply = as_editor.post(url("remove_alias", alias_id=alias.pk), follow=True)
    assert f"It no longer answers under the name {OLD_NAME}." in reply.content.decode()
    assert not live.aliases.exists()
    assert as_editor.post(url("remove_alias", alias_id=alias.pk)).status_code == 404


def test_the_same_name_twice_is_one_name(live, as_editor, url):
    for _again in range(2):
        assert add(as_editor, url, "gpt-4o-mini").status_code == 200
    assert live.aliases.count() == 1


@pytest.mark.parametrize("name", ["", " ", "a name", "-a", "gpt/4?", "ünder", "a\nb", "x" * 201])
def test_what_cannot_be_a_name_is_told_and_what_was_typed_stays(live, as_editor, url, name):
    reply = add(as_editor, url, name)
    assert reply.status_code == 422
    assert "A name has letters, digits" in reply.content.decode()
    assert reply.context["alias_typed"] == name
    assert not live.aliases.exists()


def test_a_name_that_means_something_else_here_is_refused(live, other_live, as_editor, url):
    aliases.add_alias(deployment=other_live, name="gpt-4o")
    for taken in (other_live.name, "gpt-4o", STARTER, "tiny", "qwen3-8b"):
        reply = add(as_editor, url, taken)
        assert reply.status_code == 422
        assert f"“{taken}” is the name of another model here." in reply.content.decode()
    assert "is its name already" in add(as_editor, url, live.name).content.decode()
    assert not live.aliases.exists()


def test_the_name_of_a_model_tuned_here_is_refused(live, team, as_editor, url):
    """GET /v1/models lists it, deployed or not; one tuned at OpenAI is another name."""
    tuned = f"ft:tiny:team-{team.pk}:x:c192097b"
    for taken in (tuned, f"{tuned}:ckpt-step-20"):
        assert "is the name of another model here" in add(as_editor, url, taken).content.decode()
    assert not live.aliases.exists()
    assert add(as_editor, url, OLD_NAME).status_code == 200


@pytest.mark.parametrize("name", ["tiny", "Qwen3 8B"])
def test_a_goal_named_as_a_base_model_gets_another_name(live, team, owner, name):
    """It would take over the base model for every program that asks for it."""
    goal = Goal.objects.create(team=team, name=name, created_by=owner)
    candidate = live.current.candidate
    made = services.go_live(goal=goal, candidate=candidate, by=owner).deployment
    assert made.name == f"{slugify(name)}-2"


def test_another_team_may_use_the_same_name(live, other_live, stranger):
    aliases.add_alias(deployment=live, name="gpt-4o")
    other_live.team = stranger.teams.get()
    other_live.save()
    assert aliases.add_alias(deployment=other_live, name="gpt-4o").pk


def test_there_is_a_limit(live, monkeypatch):
    monkeypatch.setattr(aliases, "MAX_ALIASES", 1)
    aliases.add_alias(deployment=live, name="gpt-4o")
    with pytest.raises(PlainError, match="It has 1 other names"):
        aliases.add_alias(deployment=live, name="gpt-5")


def test_a_new_deployment_does_not_take_a_name_that_is_in_use(live, other_live, goal, team, owner):
    aliases.add_alias(deployment=live, name="sort-bills")
    bills = Goal.objects.create(team=team, name="Sort bills", created_by=owner)
    candidate = live.current.candidate
    made = services.go_live(goal=bills, candidate=candidate, by=owner).deployment
    assert made.name == "sort-bills-2"


def test_viewers_read_the_names_and_strangers_see_nothing(
    live, other_live, as_viewer, as_editor, as_stranger, url
):
    alias = aliases.add_alias(deployment=live, name="gpt-4o")
    page = as_viewer.get(url("page")).content.decode()
    assert "gpt-4o" in page
    assert "Another name" not in page
    remove = url("remove_alias", alias_id=alias.pk)
    assert as_viewer.post(url("add_alias"), {"name": "b"}).status_code == 403
    assert as_viewer.post(remove).status_code == 403
    assert as_stranger.post(remove).status_code == 404
    assert as_editor.get(remove).status_code == 405
    elsewhere = aliases.add_alias(deployment=other_live, name="gpt-5")
    assert as_editor.post(url("remove_alias", alias_id=elsewhere.pk)).status_code == 404
    assert ModelAlias.objects.count() == 2
