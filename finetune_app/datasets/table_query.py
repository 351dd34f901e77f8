"""The table of examples: filters from the URL, and pages by keyset pagination.

Every order has an index that ends in the number, so a page of the unfiltered table is read from
an index; filters are plain SQL conditions. Apps that depend on this one add conditions with
`register_filter`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from finetune_app.core.capped_count import CappedCount, count_up_to
from finetune_app.datasets.models import (
    PAIR,
    Dataset,
    Example,
    ExampleQuerySet,
    Split,
    Status,
    Suggestion,
)

PAGE_ROWS = 50
MAX_COUNTED = 10_000  # rows up to which a filtered list is counted: then "more than 10,000"
UNTOLD = "untold"  # value in the URL: the language is unknown
TRASH = "trash"
NOBODY = "nobody"
SORTS = {
    "": ("number", _("number")),
    "newest": ("-changed_at", _("newest change")),
    "shortest": ("length", _("shortest first")),
    "longest": ("-length", _("longest first")),
    "prompt": ("prompt_start", _("prompt, A to Z")),
}

FilterCondition = Callable[[Dataset, str], Q]
_registered_filters: dict[str, FilterCondition] = {}


def register_filter(name: str, condition: FilterCondition) -> None:
    """Let `condition(dataset, value)` decide which rows match the field `name` of TableFilters."""
    _registered_filters[name] = condition


@dataclass(frozen=True)
class TableFilters:
    """The filters in the query string. Unknown values are ignored."""

    status: str = ""
    split: str = ""
    q: str = ""
    finding: str = ""
    file: int = 0  # key of the import
    by: int = 0  # key of the user who changed it last
    assigned: str = ""  # a user's key, or "nobody"
    lang: str = ""  # a language code or "untold", from the last check
    suggested: bool = False  # has an open suggestion
    pairs: bool = False  # has a worse answer
    tools: bool = False  # has functions that its answers may call
    least: int = 0  # characters of prompt and answer
    most: int = 0
    sort: str = ""
    after: int = 0  # the number of the example before the page, or after it
    before: int = 0
    at: int = 0  # position of the page's first row in the whole list, if known

    @classmethod
    def read(cls, given: Mapping[str, str]) -> "TableFilters":
        def whole(name: str) -> int:
            text = given.get(name, "")
            return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0

        def one_of(name: str, known: Any) -> str:
            return given.get(name, "") if given.get(name, "") in known else ""

        nobody = given.get("assigned") == NOBODY
        return cls(
            status=one_of("status", (*Status.values, TRASH)),
            split=one_of("split", Split.values),
            q=given.get("q", "").replace("\x00", "").strip()[:200],
            finding=given.get("finding", "").replace("\x00", "")[:40],
            assigned=NOBODY if nobody else str(whole("assigned") or ""),
            lang=_language(given.get("lang", "")),
            suggested=given.get("suggested") == "1",
            pairs=given.get("pairs") == "1",
            tools=given.get("tools") == "1",
            sort=one_of("sort", SORTS),
            **{
                name: whole(name)
                for name in ("file", "by", "least", "most", "after", "before", "at")
            },
        )

    def query(self, **changes: Any) -> str:
        """The query string with some values changed, such as "?status=draft&q=bike".

        The position in the list is dropped unless it is one of `changes`.
        """
        here = replace(self, **({"after": 0, "before": 0, "at": 0} | changes))
        return "?" + urlencode(here.given)

    @cached_property  # every row of the page links to it
    def here(self) -> str:
        return self.query(after=self.after, before=self.before, at=self.at)

    @property
    def given(self) -> list[tuple[str, Any]]:
        """The active filters as (name, value) of form fields."""
        values = {name: int(v) if v is True else v for name, v in asdict(self).items()}
        return [(name, value) for name, value in values.items() if value]

    @property
    def narrowed(self) -> bool:
        """Whether any filter besides the status tab is active."""
        return bool(self.split or self.pairs or self.needs_search)

    @property
    def needs_search(self) -> bool:
        """Whether any filter besides status, split and pairs is active: then counting stops at
        MAX_COUNTED."""
        return bool(self.q or self.finding or self.further)

    @property
    def further(self) -> int:
        """How many of the filters behind “More filters” are active."""
        length = self.least or self.most
        used = (self.file, self.by, self.assigned, self.lang, self.suggested, self.tools, length)
        return sum(map(bool, used))

    @property
    def order(self) -> str:
        """The field to sort by. The trash is always sorted by number."""
        return str(SORTS[self.sort][0]) if self.status != TRASH else "number"


def _language(text: str) -> str:
    short = len(text) <= 8 and text.replace("-", "").isalnum() and text.isascii()
    return text if short else ""


@dataclass(frozen=True)
class TablePage:
    examples: list[Example]
    total: CappedCount
    first: int  # position of the first row in the filtered list, from 1; 0 when it is not known
    previous: str
    next: str

    @property
    def last(self) -> int:
        return self.first + len(self.examples) - 1


def examples_of(dataset: Dataset, filters: TableFilters) -> ExampleQuerySet:
    """The rows that match the filters."""
    rows = dataset.examples.arrived().filter(deleted_at__isnull=filters.status != TRASH)
    if filters.status and filters.status != TRASH:
        rows = rows.filter(status=filters.status)
    if filters.split:
        rows = rows.filter(split=filters.split)
    if filters.pairs:
        rows = rows.filter(PAIR)
    if filters.file:
        rows = rows.filter(source_import=filters.file)
    if filters.by:
        rows = rows.filter(changed_by=filters.by)
    if filters.assigned:
        rows = rows.filter(
            assigned_to=None if filters.assigned == NOBODY else int(filters.assigned)
        )
    if filters.suggested:
        proposed = Suggestion.objects.visible().filter(state=Suggestion.State.OPEN)
        rows = rows.filter(pk__in=proposed.values("example"))
    if filters.tools:
        rows = rows.exclude(tools=[])
    if filters.least:
        rows = rows.filter(length__gte=filters.least)
    if filters.most:
        rows = rows.filter(length__lte=filters.most)
    for name, condition in _registered_filters.items():
        if value := getattr(filters, name):
            rows = rows.filter(condition(dataset, value))
    if filters.q:
        rows = rows.containing(filters.q)
    return rows


def page_of(
    dataset: Dataset, filters: TableFilters, counts: Mapping[str, int] | None = None
) -> TablePage:
    """One page of the filtered list, with the query strings of the pages before and after it.

    `counts` are those of status_counts.py, if they are known: the totals of the tabs.
    """
    matching, backwards = examples_of(dataset, filters), bool(filters.before)
    rows = matching
    if number := filters.before or filters.after:
        rows = rows.filter(_beyond(dataset, filters.order, number, backwards=backwards))
    # Read keys first: the database then sorts keys and not whole rows.
    ordered = _ordered(rows, filters.order, backwards=backwards)
    keys = list(ordered.values_list("pk", flat=True)[: PAGE_ROWS + 1])
    found = Example.objects.select_related("changed_by").in_bulk(keys)
    page = [found[key] for key in keys if key in found]
    more, page = len(page) > PAGE_ROWS, page[:PAGE_ROWS]
    if backwards:
        more_before, more_after, page = more, True, page[::-1]
    else:
        more_before, more_after = filters.after > 0, more
    whole = not (number or more)  # this page is the whole list
    if counts and not filters.narrowed:
        total = CappedCount(counts[filters.status or "all"])
    else:
        total = CappedCount(len(page)) if whole else _count(matching, filters)
    first = _position(dataset, filters, matching, page, total) if page else 0
    if total.more and first:  # this page knows more than a count that stopped early
        last = first + len(page) - 1
        total = CappedCount(max(total.rows, last), more=True) if more_after else CappedCount(last)
    previous_at, next_at = (max(first - PAGE_ROWS, 1), first + len(page)) if first else (0, 0)
    return TablePage(
        examples=page,
        total=total,
        first=first,
        previous=filters.query(before=page[0].number, at=previous_at)
        if page and more_before
        else "",
        next=filters.query(after=page[-1].number, at=next_at) if page and more_after else "",
    )


def _count(rows: ExampleQuerySet, filters: TableFilters) -> CappedCount:
    if not filters.needs_search:  # counted from an index
        return CappedCount(rows.order_by().count())
    # A search reads the rows as they lie on disk. Other filters have an index.
    order = ["number"] if filters.q else []
    return count_up_to(rows.order_by(*order), MAX_COUNTED)


def _position(
    dataset: Dataset,
    filters: TableFilters,
    rows: ExampleQuerySet,
    page: list[Example],
    total: CappedCount,
) -> int:
    """The position of the page in the list, from the link or else counted up to MAX_COUNTED
    rows."""
    if not (filters.after or filters.before):
        return 1
    if filters.at and (total.more or filters.at + len(page) - 1 <= total.rows):
        return filters.at
    ahead = rows.filter(_beyond(dataset, filters.order, page[0].number, backwards=True))
    count = ahead.order_by()[: MAX_COUNTED + 1].count()
    return count + 1 if count <= MAX_COUNTED else 0


def _ordered(rows: ExampleQuerySet, order: str, *, backwards: bool = False) -> ExampleQuerySet:
    descending = order.startswith("-") != backwards
    names = dict.fromkeys((order.lstrip("-"), "number"))
    return rows.order_by(*(f"-{name}" if descending else name for name in names))


def _beyond(dataset: Dataset, order: str, number: int, *, backwards: bool = False) -> Q:
    """The condition for rows after (or before) the example with this number, in this order."""
    name, comparison = order.lstrip("-"), "lt" if order.startswith("-") != backwards else "gt"
    if name == "number":
        return Q(**{f"number__{comparison}": number})
    value = dataset.examples.filter(number=number).values_list(name, flat=True).first()
    if value is None:  # the example was deleted for good: start from the beginning
        return Q()
    strictly, tied = Q(**{f"{name}__{comparison}": value}), Q(**{f"number__{comparison}": number})
    return Q(**{f"{name}__{comparison}e": value}) & (strictly | tied)
