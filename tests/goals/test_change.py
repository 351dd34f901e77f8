"""Change the name, description and pairs of a goal."""

import pytest
from django.urls import reverse

FORM = {
    "name": "Sort them better",
    "description": "Two fixed lines.",
    "kind": "format",
    "prompt_0": "Hello",
    "answer_0": "topic: other",
}


@pytest.fixture
def url(goal):
    return reverse("goals:edit", args=[goal.pk])


def test_an_editor_can_change_the_goal(as_editor, goal, url):
    reply = as_editor.post(url, FORM)
    assert reply["Location"] == reverse("goals:measure", args=[goal.pk])
    goal.refresh_from_db()
    assert (goal.name, goal.kind) == ("Sort them better", "format")
    assert goal.pairs == [{"prompt": "Hello", "answer": "topic: other"}]


def test_the_form_shows_the_current_values(as_editor, goal, url):
    goal.pairs = [{"prompt": "Where is my saddle?", "answer": "topic: order"}]
    goal.save()
    page = as_editor.get(url).content.decode()
    assert "Where is my saddle?" in page
    assert "Sort each email." in page


def test_an_invalid_form_changes_nothing_and_the_rail_keeps_the_name(as_editor, goal, url):
    reply = as_editor.post(url, FORM | {"name": "", "description": ""})
    assert reply.status_code == 422
    assert "Sort shop emails" in reply.content.decode()
    goal.refresh_from_db()
    assert goal.name == "Sort shop emails"


def test_only_editors_of_the_team_can_change_it(as_viewer, as_stranger, as_owner, goal, url):
    assert as_viewer.post(url, FORM).status_code == 403
    assert as_stranger.post(url, FORM).status_code == 404
    assert as_owner.put(url).status_code == 405
    goal.refresh_from_db()
    assert goal.name == "Sort shop emails"
