"""Choose a success measure and its settings."""

import pytest
from django.urls import reverse

SPACE = "ignore_outer_space"


@pytest.fixture
def url(goal):
    return reverse("goals:measure", args=[goal.pk])


@pytest.mark.parametrize(
    ("kind", "typed", "kept"),
    [
        ("exact", {"ignore_case": "on"}, {"ignore_case": True, SPACE: False, "lines": []}),
        ("exact", {"lines": "topic\n\n  due \n"}, {"lines": ["topic", "due"], SPACE: False}),
        (
            "json",
            {"fields": "topic\nurgent", "compare": "fields"},
            {"fields": ["topic", "urgent"], "compare": "fields", "allow_fence": False},
        ),
        (
            "xml",
            {"fields": "name", "compare": "values", "allow_fence": "on"},
            {"fields": ["name"], "compare": "values", "allow_fence": True},
        ),
        ("bash", {"compare": "same_command"}, {"compare": "same_command"}),
        (
            "rules",
            {"max_words": "20", "never_contains": "sorry"},
            {"max_words": 20, "never_contains": ["sorry"]},
        ),
        ("close", {"threshold": "0.75"}, {"threshold": 0.75, "ignore_case": False}),
        ("choice", {}, {}),
    ],
)
def test_each_kind_keeps_its_settings(as_editor, goal, url, kind, typed, kept):
    form = {f"{kind}-{name}": value for name, value in typed.items()}
    reply = as_editor.post(url, {"measure": kind} | form)
    assert reply["Location"] == reverse("guide:onward", args=[goal.pk])
    goal.refresh_from_db()
    assert goal.measure == kind
    assert kept.items() <= goal.measure_settings.items()


@pytest.mark.parametrize(
    ("kind", "typed"),
    [
        ("rules", {}),  # no rule at all
        ("rules", {"max_words": "0"}),
        ("rules", {"max_words": "many"}),
        ("close", {"threshold": "0"}),
        ("close", {"threshold": "1.5"}),
        ("bash", {"compare": "run it"}),
        ("json", {"compare": "vibes"}),
        ("magic", {}),
        ("", {}),
    ],
)
def test_invalid_settings_are_rejected(as_editor, goal, url, kind, typed):
    form = {f"{kind}-{name}": value for name, value in typed.items()}
    assert as_editor.post(url, {"measure": kind} | form).status_code == 422
    goal.refresh_from_db()
    assert goal.measure == ""


def test_invalid_settings_of_another_kind_are_ignored(as_editor, goal, url):
    """The page hides them, so an error there could be neither seen nor corrected."""
    form = {"measure": "exact", "rules-max_words": "many", "close-threshold": "7"}
    assert as_editor.post(url, form).status_code == 302
    goal.refresh_from_db()
    assert goal.measure == "exact"


def test_the_form_shows_the_chosen_settings(as_editor, url):
    as_editor.post(url, {"measure": "rules", "rules-never_contains": "sorry\nunfortunately"})
    page = as_editor.get(url).content.decode()
    assert "sorry\nunfortunately" in page


def test_only_editors_of_the_team_can_choose(as_viewer, as_stranger, as_owner, goal, url):
    assert as_viewer.post(url, {"measure": "exact"}).status_code == 403
    assert as_stranger.get(url).status_code == 404
    assert as_owner.patch(url).status_code == 405
    goal.refresh_from_db()
    assert goal.measure == ""
