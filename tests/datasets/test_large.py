"""What a large set remembers and how it is searched, on a small one that counts as large."""

import pytest
from django.db import connection
from django.utils import timezone

from finetune_app.checks.models import Finding
from finetune_app.datasets import (
    finding_rows,
    number_ranges,
    status_counts,
    table_query,
    text_search,
)
from finetune_app.datasets.models import Dataset
from finetune_app.datasets.services import bulk_edit, change_many, empty_trash, undo
from finetune_app.datasets.table_query import SORTS, RowTotal, TableFilters, examples_of, page_of
from tests.datasets.conftest import conversation


@pytest.fixture
def large(bring, monkeypatch) -> Dataset:
    monkeypatch.setattr(status_counts, "LARGE", 10)
    monkeypatch.setattr(text_search, "LARGE", 10)
    dataset = bring(60)
    status_counts.counts(Dataset.objects.get(pk=dataset.pk))
    return dataset


def remembered(dataset: Dataset) -> dict[str, int]:
    """Without counting, and the same as a count."""
    fresh = Dataset.objects.get(pk=dataset.pk)
    assert fresh.tally["at"] == fresh.changed_at.isoformat(), "it would be counted anew"
    found = status_counts.counts(fresh)
    assert found == status_counts.counts(Dataset(pk=dataset.pk, last_number=0))
    return found


def test_every_write_keeps_the_tally(large, owner, bring):
    assert remembered(large)["approved"] == 60
    bring(rows=[{"messages": conversation("One more?", "yes")}])
    edit = bulk_edit(
        dataset=large,
        by=owner,
        said="x",
        after={"status": "draft"},
        filters=TableFilters(),
        numbers=[1, 2, 3],
    )
    assert remembered(large)["draft"] == 3
    undo(edit=edit, by=owner)
    assert remembered(large)["draft"] == 0
    change_many(
        dataset=large,
        by=owner,
        what="x",
        examples=[large.examples.get(number=5)],
        fields=lambda _row: {"deleted": True, "split": "test"},
    )
    assert remembered(large)["trash"] == 1
    empty_trash(dataset=large)
    assert remembered(large) | {"all": 60, "trash": 0} == remembered(large)


def test_a_tally_that_somebody_passed_by_is_counted_anew(large):
    large.examples.filter(number__lte=5).update(status="draft")
    large.save()  # moves changed_at
    assert status_counts.counts(Dataset.objects.get(pk=large.pk))["draft"] == 5


def asked(large: Dataset, text: str, **more: str) -> set[int]:
    found = examples_of(Dataset.objects.get(pk=large.pk), TableFilters(q=text, **more))
    return set(found.values_list("number", flat=True))


@pytest.mark.parametrize("most", [text_search.MOST, 2])
def test_the_index_finds_what_looking_through_finds(large, monkeypatch, most):
    monkeypatch.setattr(text_search, "MOST", most)
    for text in ("saddle", "SADDLE", "dle back", "due: today", "100%_ \\ '\"", "zebra", "My", "ü"):
        seen = large.examples.filter(text_search.saying(text)).values_list("number", flat=True)
        assert asked(large, text) == set(seen), text


SHORT = ("qx", "QX", "q", "?z", "z", "%_", "\\", "'", '"', "ß", "é", "É", "vk", " ~", "~ ", "日")


def test_one_or_two_letters_are_found_by_the_index(large):
    """Also at the very end of a text, and what a query language would read as its own."""
    for number, (prompt, answer) in enumerate(
        [
            ("A Qx?z", "v"),
            ("Is 50%_ off", "\\ and 'so'"),
            ('Say "no"', "Straße ~ É"),
            ("日本", "é"),
            ("vk", "k"),
            ("x" * 21_000 + "qx", "-"),
        ],
        1,
    ):
        row = large.examples.get(number=number)
        row.set_messages(conversation(prompt, answer))
        row.save()
    fresh = Dataset.objects.get(pk=large.pk)
    for text in SHORT:
        assert text_search.keys(fresh, text) is not None
        seen = large.examples.filter(text_search.saying(text)).values_list("number", flat=True)
        assert asked(large, text) == set(seen), text
    assert asked(large, "qx") == {1, 6}


def test_what_very_many_say_is_not_counted_to_the_end(large, monkeypatch):
    """Where no index is asked, the page itself says how many there are at least."""
    fresh = Dataset.objects.get(pk=large.pk)
    monkeypatch.setattr("finetune_app.datasets.table_query.LOOKED", 20)
    monkeypatch.setattr(text_search, "COMMON", 20)
    assert text_search.keys(fresh, "topic") is None
    first = page_of(fresh, TableFilters(q="topic"))
    assert (first.total, first.first, first.last) == (RowTotal(50, more=True), 1, 50)
    rest = page_of(fresh, TableFilters(q="topic", after=50, at=51))
    assert (rest.total, rest.first, rest.last) == (RowTotal(60), 51, 60)
    assert page_of(fresh, TableFilters(q="topic", after=50)).first == 0  # nobody knows
    assert page_of(fresh, TableFilters(q="topic", status="draft")).total == RowTotal(0)


def test_the_index_follows_every_change(large, owner):
    row = large.examples.get(number=7)
    row.set_messages(conversation("A unicorn on a bike, 50%_off?", 'say "yes" to \\it'))
    row.save()
    assert asked(large, "unicorn") == asked(large, "50%_off") == asked(large, '"yes" to \\i') == {7}
    large.examples.filter(number=8).update(answer="another unicorn")
    assert asked(large, "unicorn") == {7, 8}
    assert asked(large, "unicorn", status="draft") == set()
    row.delete()
    assert asked(large, "unicorn") == {8}


def test_another_dataset_is_not_searched(large, as_owner, team, owner, goal):
    from finetune_app.datasets.services import add_rows, dataset_of
    from finetune_app.goals.models import Goal

    other = dataset_of(Goal.objects.create(team=team, name="Other", created_by=owner))
    add_rows(dataset=other, by=owner, rows=[{"messages": conversation("A unicorn?", "no")}] * 3)
    assert asked(large, "unicorn") == set()


def test_without_the_index_the_rows_are_looked_through(large, monkeypatch):
    assert text_search.has_index(connection.vendor)
    monkeypatch.setattr(text_search, "has_index", lambda vendor: False)
    assert asked(large, "saddle")


def test_the_index_comes_back_when_a_migration_lost_its_triggers(large):
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite loses them")
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER datasets_words_insert")
        cursor.execute("DROP TRIGGER datasets_words_update")
        cursor.execute("DROP TRIGGER datasets_words_delete")
    large.examples.filter(number=7).update(prompt="A unicorn?")
    text_search.create_index()
    assert asked(large, "unicorn") == {7}


def test_runs_of_numbers_take_little_room():
    numbers = [1, 2, 3, 7, 9, 10]
    assert number_ranges.pack(numbers) == "1-3 7 9-10"
    assert list(number_ranges.unpack("1-3 7 9-10")) == numbers
    assert [n for n in range(12) if number_ranges.has("1-3 7 9-10", n)] == numbers
    assert number_ranges.pack([]) == ""
    assert list(number_ranges.unpack("")) == []


@pytest.mark.parametrize("first", [1, 41], ids=["all over", "at the end"])
@pytest.mark.parametrize("sort", ["", "newest", "shortest", "longest", "prompt"])
def test_the_rows_of_a_long_finding_come_in_every_order(large, monkeypatch, first, sort):
    """However they are got: a few keys at a time; by the database row by row; or all looked up
    and put in order."""
    for name in ("FEW", "SORTED"):
        monkeypatch.setattr(table_query, name, 3)
    monkeypatch.setattr(table_query, "PAGE_ROWS", 8)
    keys = list(large.examples.filter(number__gte=first).values_list("pk", flat=True))
    Finding.objects.create(
        dataset=large,
        check_name="long",
        severity="info",
        message="Long.",
        count=len(keys),
        examples=keys,
    )
    order = SORTS[sort][0]
    back = "-" if order.startswith("-") else ""
    wanted = large.examples.filter(pk__in=keys).order_by(order, f"{back}number")
    numbers = list(wanted.values_list("number", flat=True))
    for step, often in ((5, 1), (0, 1), (0, 1_000)):
        for name in ("AT_ONCE", "AT_MOST", "WALKED"):
            monkeypatch.setattr(finding_rows, name, step * (1 if name == "AT_ONCE" else 20))
        monkeypatch.setattr(table_query, "OFTEN", often)
        seen, address = [], TableFilters(finding="long", sort=sort)
        while len(seen) < len(keys):
            page = page_of(large, address)
            seen += [row.number for row in page.examples]
            address = TableFilters(finding="long", sort=sort, after=seen[-1], at=len(seen) + 1)
        assert seen == numbers
        before = page_of(large, TableFilters(finding="long", sort=sort, before=numbers[12]))
        assert [row.number for row in before.examples] == numbers[4:12]


def test_a_long_finding_says_how_many_and_where_until_something_changes(large, monkeypatch):
    monkeypatch.setattr(table_query, "FEW", 3)
    keys = list(large.examples.filter(number__gt=20).values_list("pk", flat=True))
    Finding.objects.create(
        dataset=large,
        check_name="long",
        severity="info",
        message="Long.",
        count=len(keys),
        examples=keys,
    )
    large.refresh_from_db()
    page = page_of(large, TableFilters(finding="long", after=30))
    assert (page.total.rows, page.total.more, page.first) == (len(keys), False, 11)
    drafts = page_of(large, TableFilters(finding="long", status="draft"))
    assert drafts.total.rows == 0
    large.examples.filter(pk__in=keys[:5]).update(deleted_at=timezone.now())
    large.changed_at = timezone.now()
    assert page_of(large, TableFilters(finding="long")).total.rows == len(keys) - 5
