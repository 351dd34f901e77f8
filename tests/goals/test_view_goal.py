"""The page of a goal."""

import pytest
from django.urls import reverse

from finetune_app.goals import services


@pytest.fixture
def url(goal):
    return reverse("goals:page", args=[goal.pk])


def test_the_page_shows_the_measure(as_viewer, goal, url):
    services.choose_measure(goal=goal, kind="exact", settings={"ignore_case": True})
    assert "Capital and small letters count as the same." in as_viewer.get(url).content.decode()


def test_a_goal_without_a_measure_has_a_page(as_viewer, url):
    reply = as_viewer.get(url)
    assert reply.status_code == 200
    assert "Not decided yet" in reply.content.decode()


def test_another_team_gets_404(as_stranger, url):
    assert as_stranger.get(url).status_code == 404


def test_the_page_allows_only_get(as_owner, url):
    assert as_owner.post(url).status_code == 405
