"""Define a goal by a description and example pairs."""

from django.urls import reverse

from finetune_app.goals.models import Goal

NEW = reverse("goals:new")
FORM = {
    "name": "Sort shop emails",
    "description": "Read a customer's email and say what it is about.",
    "kind": "task",
    "prompt_0": "Is my bike ready?",
    "answer_0": "topic: repair",
}


def test_a_goal_is_created_from_a_description_and_a_pair(as_editor, team, editor):
    reply = as_editor.post(NEW, FORM)
    goal = Goal.objects.get()
    assert reply["Location"] == reverse("goals:measure", args=[goal.pk])
    assert (goal.team, goal.created_by, goal.name) == (team, editor, "Sort shop emails")
    assert goal.pairs == [{"prompt": "Is my bike ready?", "answer": "topic: repair"}]
    assert not goal.is_sample


def test_a_measure_is_proposed_from_the_goal(as_editor):
    as_editor.post(NEW, FORM | {"answer_0": '{"topic": "repair", "urgent": true}'})
    assert Goal.objects.get().measure == "json"


def test_an_incomplete_pair_is_rejected(as_editor):
    reply = as_editor.post(NEW, FORM | {"prompt_1": "And the price?"})
    assert reply.status_code == 422
    assert "And what should it answer to that?" in reply.content.decode()
    reply = as_editor.post(NEW, FORM | {"answer_1": "topic: price"})
    assert "What do you write to get that answer?" in reply.content.decode()
    assert not Goal.objects.exists()


def test_at_least_one_pair_is_required(as_editor):
    reply = as_editor.post(NEW, FORM | {"prompt_0": "", "answer_0": " "})
    assert reply.status_code == 422
    assert "Give at least one pair" in reply.content.decode()


def test_an_invalid_form_keeps_the_input(as_editor):
    reply = as_editor.post(NEW, FORM | {"name": ""})
    assert reply.status_code == 422
    assert "Read a customer&#x27;s email" in reply.content.decode()


def test_a_pair_in_the_third_row_of_the_form_is_stored(as_editor):
    moved = {"prompt_0": "", "answer_0": "", "prompt_2": "Hello", "answer_2": "topic: other"}
    as_editor.post(NEW, FORM | moved)
    assert Goal.objects.get().pairs == [{"prompt": "Hello", "answer": "topic: other"}]


def test_an_unknown_kind_is_rejected(as_editor):
    assert as_editor.post(NEW, FORM | {"kind": "magic"}).status_code == 422


def test_a_viewer_cannot_create_a_goal(as_viewer):
    assert as_viewer.get(NEW).status_code == 403
    assert as_viewer.post(NEW, FORM).status_code == 403
    assert not Goal.objects.exists()


def test_other_http_methods_are_rejected(as_owner):
    assert as_owner.delete(NEW).status_code == 405
