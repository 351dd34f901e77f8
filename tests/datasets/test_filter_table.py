"""Filters and orders of the table."""

import re
from urllib.parse import parse_qsl, urlsplit

import pytest

from finetune_app.datasets.models import Import, Split, Suggestion
from finetune_app.datasets.table_query import SORTS, TableFilters, page_of
from tests.datasets.table_page import get, numbers
from tests.example_rows import conversation


@pytest.fixture
def rows(add_examples):
    return add_examples(12).examples


def test_filter_by_last_change(as_owner, url, rows, editor):
    rows.filter(number__in=[3, 8]).update(changed_by=editor)
    page = get(as_owner, url, f"?by={editor.pk}")
    assert numbers(page) == [3, 8]
    assert re.search(rf'<option value="{editor.pk}" selected>Jonas', page)


def test_filter_by_assigned_person(as_owner, url, rows, editor):
    rows.filter(number__in=[2, 5]).update(assigned_to=editor)
    assert numbers(get(as_owner, url, f"?assigned={editor.pk}")) == [2, 5]
    assert 2 not in numbers(get(as_owner, url, "?assigned=nobody"))


def test_filter_by_imported_file(as_owner, url, rows, dataset):
    item = Import.objects.create(
        dataset=dataset, step="done", file_name="more.csv", stored_name="uploads/x/upload"
    )
    rows.filter(number=4).update(source_import=item)
    page = get(as_owner, url, f"?file={item.pk}")
    assert numbers(page) == [4]
    assert "more.csv" in page


def test_filter_by_open_suggestion(as_owner, url, rows):
    rows.filter(number__in=[6, 7]).update(split=Split.TRAIN)
    one, other = rows.filter(number__in=[6, 7])
    Suggestion.objects.create(example=one, answer="topic: bell", source="base")
    Suggestion.objects.create(example=other, answer="x", source="base", state="dismissed")
    assert numbers(get(as_owner, url, "?suggested=1")) == [6]


def test_filter_by_language(as_owner, url, add_examples, dataset):
    german = "Mein Fahrrad ist leider kaputt, können Sie es bitte bis Freitag reparieren?"
    add_examples(
        rows=[
            {"messages": conversation(text, "ja")}
            for text in (
                "My bicycle is broken, can you please have a look at it before Friday?",
                german,
                "Ja?",
            )
        ]
    )
    assert numbers(get(as_owner, url, "?lang=de")) == [2]
    page = get(as_owner, url, "?lang=untold")
    assert numbers(page) == [3]
    assert '<option value="de">German</option>' in page
    assert '<option value="untold" selected>' in page
    assert numbers(get(as_owner, url, "?lang=fr&q=x")) == []
    assert numbers(get(as_owner, url, "?lang=%27%20OR%201")) == [1, 2, 3]


def test_filter_by_a_language_that_django_has_no_name_for(as_owner, url, rows):
    page = get(as_owner, url, "?lang=la")
    assert '<option value="la" selected>la</option>' in page


def test_filter_by_length(as_owner, url, add_examples):
    add_examples(rows=[{"messages": conversation("x" * size, "y")} for size in (10, 100, 1000)])
    assert numbers(get(as_owner, url, "?least=50")) == [2, 3]
    assert numbers(get(as_owner, url, "?most=101")) == [1, 2]
    assert numbers(get(as_owner, url, "?least=50&most=500")) == [2]


def test_filters_are_combined(as_owner, url, rows, editor):
    rows.filter(number__in=[3, 8]).update(changed_by=editor)
    rows.filter(number=8).update(status="draft")
    assert numbers(get(as_owner, url, f"?by={editor.pk}&status=draft")) == [8]


@pytest.mark.parametrize("sort", SORTS)
def test_pages_in_every_order_show_each_row_once(dataset, owner, add_examples, sort):
    """Forward to the end and back; many rows have the same length."""
    add_examples(120)
    assert set(dataset.examples.values_list("length", flat=True)).__len__() < 60
    filters, there = TableFilters(sort=sort), []
    while True:
        page = page_of(dataset, filters)
        assert page.first == sum(map(len, there)) + 1
        there.append([row.number for row in page.examples])
        if not page.next:
            break
        filters = TableFilters.read(dict(parse_qsl(urlsplit(page.next).query)))
    assert sorted(number for page in there for number in page) == list(range(1, 121))
    back = [there[-1]]
    while page.previous:
        page = page_of(dataset, TableFilters.read(dict(parse_qsl(urlsplit(page.previous).query))))
        back.append([row.number for row in page.examples])
        assert page.first == sum(map(len, there[: -len(back)])) + 1
    assert back[::-1] == there


def test_rows_are_in_the_chosen_order(as_owner, url, add_examples, dataset):
    texts = ("banana", "Apple pie", "cherry!")
    add_examples(rows=[{"messages": conversation(text, "y")} for text in texts])
    dataset.examples.get(number=1).save()
    assert numbers(get(as_owner, url, "?sort=prompt")) == [2, 1, 3]
    assert numbers(get(as_owner, url, "?sort=shortest")) == [1, 3, 2]
    assert numbers(get(as_owner, url, "?sort=longest")) == [2, 3, 1]
    assert numbers(get(as_owner, url, "?sort=newest"))[0] == 1


def test_url_only_contains_active_filters(as_owner, url, rows):
    form = "?q=&split=&sort=longest&by=&assigned=&least=&most="
    reply = as_owner.get(url("page") + form, headers={"HX-Request": "true"})
    assert reply["HX-Push-Url"] == url("page") + "?sort=longest"


def test_going_back_loads_the_whole_page(as_owner, url, rows):
    headers = {"HX-Request": "true", "HX-History-Restore-Request": "true"}
    page = get(as_owner, url, "?sort=longest", headers=headers)
    assert "<html" in page


@pytest.mark.parametrize(
    "query",
    [
        "?by=x",
        "?by=99999999999",
        "?assigned=-1",
        "?assigned=%00",
        "?least=1e9",
        "?sort=nonsense",
        "?sort=longest&after=999",
        "?sort=prompt&before=999",
        "?file=7777",
        "?suggested=yes",
        "?after=3&at=999999999",
        "?status=trash&sort=longest",
    ],
)
def test_invalid_query_is_ignored(as_owner, url, rows, query):
    get(as_owner, url, query)
