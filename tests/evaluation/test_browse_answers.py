"""The page with every prompt: filter, search, pages."""

import pytest

from tests import journey

HTMX = {"HX-Request": "true"}


@pytest.fixture
def mixed(trained, owner):
    def say(prompt, kind):
        right = kind == ("base" if prompt.index == 0 else "tuned")
        return (prompt.wanted if right else f"No idea about {prompt.index}", right)

    return journey.evaluated(trained, owner, say=say)


def test_the_filter_shows_one_kind(as_viewer, mixed, url):
    page = as_viewer.get(url("detail", mixed.pk), {"outcome": "worse"}, headers=HTMX)
    text = page.content.decode()
    assert "No idea about 0" in text
    assert "No idea about 1" not in text
    assert "<html" not in text


def test_the_search_covers_prompts_and_answers(as_viewer, mixed, url):
    def found(words):
        reply = as_viewer.get(url("detail", mixed.pk), {"q": words}, headers=HTMX)
        return reply.context["found"]

    assert found("No idea about 2") == 1
    assert found(mixed.comparisons.last().prompt[-20:]) == 1
    assert found("nobody said this") == 0


@pytest.mark.parametrize(
    "query",
    [
        {"q": "\0"},
        {"q": "%_'\"\\"},
        {"outcome": "all"},
        {"after": "²"},
        {"after": "9" * 5000},
        {"after": "-5"},
    ],
)
def test_invalid_query_parameters_are_ignored(as_viewer, mixed, url, query):
    assert as_viewer.get(url("detail", mixed.pk), query).status_code == 200


def test_the_next_page_begins_after_the_last_row(as_viewer, mixed, url, monkeypatch):
    monkeypatch.setattr("finetune_app.evaluation.presenters.PAGE_SIZE", 2)
    first = as_viewer.get(url("detail", mixed.pk)).context
    assert first["next_after"] == 1
    second = as_viewer.get(url("detail", mixed.pk), {"after": 1}).context
    assert second["rows"][0]["comparison"].index == 2


def test_the_number_of_queries_does_not_grow_with_the_rows(
    as_viewer, mixed, url, django_assert_max_num_queries
):
    as_viewer.get("/account/")  # a session's first request notes where it comes from
    with django_assert_max_num_queries(40):
        as_viewer.get(url("detail", mixed.pk))


def test_a_poll_after_the_end_reloads_the_page(as_viewer, mixed, url):
    reply = as_viewer.get(url("detail", mixed.pk), headers=HTMX | {"HX-Target": "live"})
    assert reply["HX-Refresh"] == "true"


def test_step_5_shows_the_newest_evaluation(as_viewer, mixed, url):
    assert as_viewer.get(url("page"))["Location"] == url("detail", mixed.pk)


def test_another_team_gets_404(as_stranger, as_owner, mixed, url):
    assert as_stranger.get(url("detail", mixed.pk)).status_code == 404
    assert as_owner.get(url("detail", mixed.pk + 1)).status_code == 404
    assert as_owner.post(url("detail", mixed.pk)).status_code == 405
