"""Pages of a filtered table in every order, and how many rows they say there are."""

import pytest
from django.utils import timezone

from finetune_app.checks import table_filters
from finetune_app.checks.models import Finding
from finetune_app.core.capped_count import CappedCount
from finetune_app.datasets import table_query
from finetune_app.datasets.models import Dataset
from finetune_app.datasets.table_query import SORTS, TableFilters, page_of


@pytest.fixture
def rows(add_examples) -> Dataset:
    return add_examples(60)


@pytest.fixture
def finding(rows) -> Finding:
    keys = list(rows.examples.filter(number__gt=20).values_list("pk", flat=True))
    return Finding.objects.create(
        dataset=rows,
        check_name="long",
        severity="info",
        message="Long.",
        count=len(keys),
        examples=keys,
    )


@pytest.mark.parametrize("max_looked_up", [table_filters.MAX_KEYS_LOOKED_UP, 0])
@pytest.mark.parametrize("sort", ["", "newest", "shortest", "longest", "prompt"])
def test_rows_of_a_finding_come_in_every_order(rows, finding, monkeypatch, sort, max_looked_up):
    monkeypatch.setattr(table_filters, "MAX_KEYS_LOOKED_UP", max_looked_up)
    monkeypatch.setattr(table_query, "PAGE_ROWS", 8)
    order = SORTS[sort][0]
    back = "-" if order.startswith("-") else ""
    wanted = rows.examples.filter(pk__in=finding.examples).order_by(order, f"{back}number")
    numbers = list(wanted.values_list("number", flat=True))
    seen, address = [], TableFilters(finding="long", sort=sort)
    while len(seen) < len(numbers):
        page = page_of(rows, address)
        assert (page.first, page.total) == (len(seen) + 1, CappedCount(40))
        seen += [row.number for row in page.examples]
        address = TableFilters(finding="long", sort=sort, after=seen[-1], at=len(seen) + 1)
    assert seen == numbers
    before = page_of(rows, TableFilters(finding="long", sort=sort, before=numbers[12]))
    assert [row.number for row in before.examples] == numbers[4:12]


def test_total_of_a_finding_leaves_out_what_was_deleted_since(rows, finding):
    page = page_of(rows, TableFilters(finding="long", after=30))
    assert (page.total, page.first) == (CappedCount(40), 11)
    assert page_of(rows, TableFilters(finding="long", status="draft")).total == CappedCount(0)
    rows.examples.filter(pk__in=finding.examples[:5]).update(deleted_at=timezone.now())
    assert page_of(rows, TableFilters(finding="long")).total == CappedCount(35)


def test_counting_a_filtered_list_stops(rows, monkeypatch):
    monkeypatch.setattr(table_query, "MAX_COUNTED", 20)
    first = page_of(rows, TableFilters(q="topic"))
    assert (first.total, first.first, first.last) == (CappedCount(50, more=True), 1, 50)
    last = page_of(rows, TableFilters(q="topic", after=50, at=51))
    assert (last.total, last.first, last.last) == (CappedCount(60), 51, 60)
    assert page_of(rows, TableFilters(q="topic", after=50)).first == 0  # too far to be counted
    assert page_of(rows, TableFilters(split="train", sort="longest")).total.more is False
