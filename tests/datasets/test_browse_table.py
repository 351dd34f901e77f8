"""The table of examples: tabs, search, pages."""

import re

import pytest

from finetune_app.datasets.models import Status
from tests.datasets.table_page import get, numbers
from tests.example_rows import conversation


def test_page_shows_fifty_rows_and_a_link_to_the_next(as_owner, url, add_examples):
    add_examples(120)
    page = get(as_owner, url)
    assert numbers(page) == list(range(1, 51))
    assert "1 to 50 of 120" in page
    assert "?after=50" in page
    page = get(as_owner, url, "?after=50")
    assert numbers(page) == list(range(51, 101))
    assert "?before=51" in page
    page = get(as_owner, url, "?after=100")
    assert numbers(page) == list(range(101, 121))
    assert "after=120" not in page
    assert numbers(get(as_owner, url, "?before=51")) == list(range(1, 51))


def test_search_finds_prompts_and_answers(as_owner, url, add_examples):
    dataset = add_examples(60)
    dataset.examples.filter(number=7).update(answer="topic: unicorn")
    page = get(as_owner, url, "?q=UNICORN")
    assert numbers(page) == [7]
    assert "No example contains “zebra”." in get(as_owner, url, "?q=zebra")


def test_tabs_count_and_filter(as_owner, url, add_examples):
    dataset = add_examples(60)
    dataset.examples.filter(number__in=[3, 4]).update(status=Status.DRAFT)
    dataset.examples.filter(number=5).update(status=Status.SET_ASIDE)
    page = get(as_owner, url, "?status=draft")
    assert numbers(page) == [3, 4]
    assert re.search(r"Draft<span>2</span>", page)
    assert re.search(r"All<span>60</span>", page)
    assert numbers(get(as_owner, url, "?status=set_aside")) == [5]


def test_a_finding_filters_the_table(as_owner, url, add_examples):
    rows = [{"messages": conversation(f"Question number {n * 37}?", f"{n}")} for n in range(12)]
    add_examples(rows=[*rows, rows[4]])
    page = get(as_owner, url, "?finding=duplicates")
    assert numbers(page) == [5, 13]
    assert "1 example repeats another one" in page


def test_htmx_gets_only_the_list(as_owner, url, add_examples):
    add_examples(12)
    page = get(as_owner, url, "?q=brakes", headers={"HX-Request": "true"})
    assert "<html" not in page
    assert "Are these good examples?" not in page
    assert numbers(page)


@pytest.mark.parametrize(
    "query",
    [
        "?after=-1",
        "?after=99999999999999999999",
        "?after=x",
        "?status=nonsense",
        "?split=%00",
        "?q=%00",
        "?finding=none",
        "?before=0&after=0",
        "?q=" + "x" * 5000,
    ],
)
def test_invalid_query_is_ignored(as_owner, url, add_examples, query):
    add_examples(12)
    get(as_owner, url, query)


def test_user_text_is_escaped(as_owner, url, add_examples):
    nasty = [
        "<script>alert(1)</script>",
        "<svg onload=alert(1)>",
        "[x](javascript:alert(1))",
        "![x](http://evil.example/beacon)",
        '"><a hx-get="/x">',
        "{{ 7*7 }}{% load x %}",
    ]
    add_examples(rows=[{"messages": conversation(text, text)} for text in nasty])
    page = get(as_owner, url)
    assert "<script>alert" not in page
    assert "<svg onload" not in page
    assert '<a hx-get="/x">' not in page
    assert "{{ 7*7 }}" in page
    assert "evil.example" not in re.sub(r">[^<]*<", "><", page)


def test_viewer_cannot_change_and_stranger_gets_404(as_viewer, as_stranger, url, add_examples):
    add_examples(12)
    page = get(as_viewer, url)
    assert numbers(page)
    assert "Freeze version" not in page
    assert as_viewer.post(url("page")).status_code == 405
    assert as_stranger.get(url("page")).status_code == 404


def test_tabs_and_pages_around_an_open_row_lead_to_the_table(as_owner, url, add_examples):
    """A row with its own URL is open: the tabs and pages lead to the table, not to that URL."""
    add_examples(60)
    page = as_owner.get(url("example", number=3)).content.decode()
    table = url("page")
    assert f'hx-get="{table}?status=approved"' in page
    assert re.search(f'href="{table}[?]after=5[0-9]&amp;at=', page)
    assert 'href="?' not in page
