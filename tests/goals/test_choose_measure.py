"""Choose a success measure and its settings."""

import html
import re

import pytest
from django.urls import reverse

from finetune_app.core import engine_client
from finetune_app.goals import services
from finetune_app.goals.measure_cards import GROUPS
from finetune_app.goals.measures import KINDS
from finetune_app.goals.models import MeasureKind

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
            {"fields": ["topic", "urgent"], "compare": "fields", "partial": False},
        ),
        (
            "xml",
            {"fields": "name", "compare": "values", "allow_fence": "on"},
            {"fields": ["name"], "compare": "values", "allow_fence": True},
        ),
        ("json", {"partial": "on", "compare": "values"}, {"partial": True}),
        (
            "number",
            {"tolerance": "2.5", "unit": "percentage"},
            {"tolerance": 2.5, "unit": "percentage"},
        ),
        ("refusal", {}, {}),
        ("items", {"separator": "commas"}, {"separator": "commas", "ignore_case": False}),
        ("pattern", {"pattern": "INV-[0-9]+"}, {"pattern": "INV-[0-9]+"}),
        ("rules", {"ease": "a story"}, {"ease": "a story", "max_words": None}),
        ("rouge", {"threshold": "0.4"}, {"threshold": 0.4}),
        ("meaning", {"threshold": "0.9"}, {"threshold": 0.9}),
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
        ("number", {"tolerance": "-1"}),
        ("number", {"unit": "dozens"}),
        ("items", {"separator": "smells"}),
        ("pattern", {}),
        ("pattern", {"pattern": "(a"}),
        ("rouge", {"threshold": "0"}),
        ("meaning", {"threshold": "2"}),
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


def test_the_page_groups_the_measures_and_marks_the_suggested_one(as_editor, goal, url):
    goal.pairs = [{"prompt": "How many boxes?", "answer": "12"}, {"prompt": "And?", "answer": "7"}]
    goal.save()
    page = html.unescape(as_editor.get(url).content.decode())
    for _kind, name in MeasureKind.choices:
        assert f"<b>{name}</b>" in page
    for group in ("One right answer", "Fields and lists", "Sentences and longer texts"):
        assert f"<legend>{group}</legend>" in page
    suggested = re.search(r"<b>([^<]*)</b>\s*<span class=\"tag\">Suggested", page)
    assert suggested.group(1) == "The right number"
    assert page.count("Suggested</span>") == 1


def test_the_group_of_the_chosen_measure_comes_first(as_editor, goal, url):
    services.choose_measure(goal=goal, kind="rouge", settings={})
    legends = re.findall(r"<legend>([^<]*)</legend>", as_editor.get(url).content.decode())
    assert legends[0] == "Sentences and longer texts"
    assert len(legends) == len(GROUPS)


def test_every_measure_is_in_one_group():
    grouped = [kind for _name, kinds in GROUPS for kind in kinds]
    assert sorted(grouped) == sorted(MeasureKind) == sorted(KINDS)


def test_each_measure_says_beforehand_what_repeating_the_question_scores(as_editor, goal, url):
    goal.pairs = [{"prompt": "He go home.", "answer": "He goes home."}]
    goal.save()
    page = html.unescape(as_editor.get(url).content.decode())
    assert page.count("only repeats the question") >= 8


def test_meaning_asks_for_vectors_only_where_it_is_chosen(as_editor, goal, url, monkeypatch):
    asked = []

    async def embed(texts, *, whole, caller):
        asked.extend(texts)
        return [[1.0, 0.0] if "He go" in text else [0.6, 0.8] for text in texts], 0

    monkeypatch.setattr(engine_client, "embed", embed)
    goal.pairs = [{"prompt": "He go home.", "answer": "She stays."}]
    goal.save()
    as_editor.get(url)
    assert not asked
    services.choose_measure(goal=goal, kind="meaning", settings={})
    page = html.unescape(as_editor.get(url).content.decode())
    assert sorted(asked) == ["He go home.", "She stays."]
    assert "60 of 100 points" in page


def test_the_page_works_while_the_engine_does_not(as_editor, goal, url, monkeypatch):
    async def embed(texts, *, whole, caller):
        raise engine_client.EngineUnavailable("not now")

    monkeypatch.setattr(engine_client, "embed", embed)
    goal.pairs = [{"prompt": "He go home.", "answer": "She stays."}]
    goal.save()
    services.choose_measure(goal=goal, kind="meaning", settings={})
    assert as_editor.get(url).status_code == 200
    assert as_editor.get(reverse("goals:page", args=[goal.pk])).status_code == 200
