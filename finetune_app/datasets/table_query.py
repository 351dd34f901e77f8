"""The table of examples: filters that live in the address, sorted pages by keyset."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast
from urllib.parse import urlencode

from django.db.models import Exists, F, OuterRef, Q
from django.db.models.lookups import GreaterThanOrEqual, LessThanOrEqual
from django.utils.translation import gettext_lazy as _

from finetune_app.datasets import finding_rows, number_ranges, status_counts, text_search
from finetune_app.datasets.models import (
    BulkEdit,
    Dataset,
    Example,
    ExampleQuerySet,
    RowCheck,
    Split,
    Status,
    Suggestion,
)

PAGE_ROWS = 50
COUNTED = 10_000  # rows up to which a narrowed list is counted; then it is "more than 10,000"
LOOKED = 20_000  # numbers among which is counted what no index can list
FEW = 2_000  # keys that a query may list
SORTED = 20_000  # rows up to which those of a finding are looked up and put in order
OFTEN = 10  # one row in so many is of a finding that is met soon wherever one begins
UNTOLD = "untold"  # in the address: of no language that can be told
TRASH = "trash"
NOBODY = "nobody"
SORTS = {
    "": ("number", _("number")),
    "newest": ("-changed_at", _("newest change")),
    "shortest": ("length", _("shortest first")),
    "longest": ("-length", _("longest first")),
    "prompt": ("prompt_start", _("prompt, A to Z")),
}


@dataclass(frozen=True)
class TableFilters:
    """What the address says. Anything it does not know is left out."""

    status: str = ""
    split: str = ""
    q: str = ""
    finding: str = ""
    file: int = 0  # the import that brought them
    by: int = 0  # who changed them last
    assigned: str = ""  # a user's key, or "nobody"
    lang: str = ""  # a language's code, or "untold", as the last check saw it
    suggested: bool = False  # an answer is proposed
    least: int = 0  # characters of prompt and answer
    most: int = 0
    sort: str = ""
    after: int = 0  # the number of the example before the page, or after it
    before: int = 0
    at: int = 0  # the place of the page's first row in the whole list, where it is known

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
            sort=one_of("sort", SORTS),
            **{
                name: whole(name)
                for name in ("file", "by", "least", "most", "after", "before", "at")
            },
        )

    def query(self, **changes: Any) -> str:
        """ "?status=draft&q=bike" with some of it changed; the place in the list is left out
        unless it is named."""
        here = replace(self, **({"after": 0, "before": 0, "at": 0} | changes))
        return "?" + urlencode(here.given)

    @property
    def here(self) -> str:
        return self.query(after=self.after, before=self.before, at=self.at)

    @property
    def given(self) -> list[tuple[str, Any]]:
        """What is chosen, as the fields of a form."""
        values = {name: int(v) if v is True else v for name, v in asdict(self).items()}
        return [(name, value) for name, value in values.items() if value]

    @property
    def narrowed(self) -> bool:
        """Whether more than the tab decides what is shown."""
        return bool(self.split or self.beyond_tally)

    @property
    def beyond_tally(self) -> bool:
        """Whether the tally of statuses and splits does not know how many there are."""
        return bool(
            self.q
            or self.finding
            or self.file
            or self.by
            or self.assigned
            or self.lang
            or self.suggested
            or self.least
            or self.most
        )

    @property
    def further(self) -> int:
        """How many of the filters behind “More filters” are in use."""
        return sum(
            map(
                bool,
                (
                    self.file,
                    self.by,
                    self.assigned,
                    self.lang,
                    self.suggested,
                    self.least or self.most,
                ),
            )
        )

    @property
    def order(self) -> str:
        """The trash is always in the order of the numbers."""
        return str(SORTS[self.sort][0]) if self.status != TRASH else "number"


def _language(text: str) -> str:
    short = len(text) <= 8 and text.replace("-", "").isalnum() and text.isascii()
    return text if short else ""


@dataclass(frozen=True)
class RowTotal:
    rows: int
    more: bool = False  # there are more than `rows`


@dataclass(frozen=True)
class TablePage:
    examples: list[Example]
    total: RowTotal
    first: int  # places in the filtered list, counted from 1; 0 when nobody knows
    previous: str
    next: str

    @property
    def last(self) -> int:
        return self.first + len(self.examples) - 1


def examples_of(dataset: Dataset, filters: TableFilters) -> ExampleQuerySet:
    """The filtered rows, without a place in the list."""
    return _narrowed(dataset, filters, named_by(dataset, filters))


@dataclass(frozen=True)
class Named:
    """Rows among which all that match are, so far as something tells them beforehand."""

    keys: list[int] | None = None  # few enough to list; None: not known
    finding: int = 0  # the key of a finding with more rows than that
    among: Sequence[int] = field(default=(), repr=False)  # the keys of its rows

    @property
    def few(self) -> bool:
        return self.keys is not None or 0 < len(self.among) <= SORTED


def named_by(dataset: Dataset, filters: TableFilters) -> Named:
    lists: list[set[int]] = []
    finding, among = 0, cast(Sequence[int], ())
    if filters.finding:
        one = dataset.findings.light().filter(check_name=filters.finding).first()
        if one is None or one.count <= FEW:
            lists.append(set(one.examples if one else ()))
        else:
            finding, among = one.pk, finding_rows.keys_of(one.pk, dataset.checked_at)
    if filters.suggested:
        waiting = Suggestion.objects.filter(state=Suggestion.State.OPEN, example__dataset=dataset)
        lists += _listed(waiting.order_by().values_list("example", flat=True))
    if filters.lang:
        seen = RowCheck.objects.filter(language=_code(filters.lang), example__dataset=dataset)
        lists += _listed(seen.order_by().values_list("example", flat=True))
    if filters.q and (proposed := text_search.keys(dataset, filters.q)) is not None:
        lists.append(set(proposed))
    if lists and finding:
        lists.append({key for key in lists[0] if finding_rows.holds(among, key)})
        finding, among = 0, ()
    keys = sorted(set.intersection(*lists)) if lists else None
    return Named(keys, finding, among)


def _listed(keys: Any) -> list[set[int]]:
    """Nothing where they are many: those are met soon in any order."""
    some = set(keys[: FEW + 1])
    return [some] if len(some) <= FEW else []


def _code(lang: str) -> str:
    return "" if lang == UNTOLD else lang


def _narrowed(
    dataset: Dataset, filters: TableFilters, named: Named, *, met_soon: bool = True, **more: bool
) -> ExampleQuerySet:
    """The rows that match. `met_soon`: whoever walks through the set in order meets rows of the
    finding soon, so that looking all of them up and putting them in order takes longer."""
    wanted = condition(dataset, filters, **more)
    if named.keys is not None:
        wanted &= Q(pk__in=named.keys)
    if named.finding:
        listed = Q(pk__in=finding_rows.listed_in(named.finding))
        wanted &= finding_rows.asked_row_by_row(listed) if met_soon and not named.few else listed
    # Rows that are named are looked up by their keys. Asked for the dataset as well, SQLite would
    # walk through all of it and hold each row against the list.
    rows = Example.objects if named.few else dataset.examples
    return rows.arrived().select_related("changed_by").filter(wanted)


def condition(dataset: Dataset, filters: TableFilters, *, by_length: bool = True) -> Q:
    """What the filters ask of an example of this dataset, but for the finding; `by_length`: with
    the index of lengths, if the database likes."""
    wanted = Q(deleted_at__isnull=filters.status != TRASH)
    if filters.status and filters.status != TRASH:
        wanted &= Q(status=filters.status)
    if filters.split:
        wanted &= Q(split=filters.split)
    if filters.file:
        wanted &= Q(source_import=filters.file)
    if filters.by:
        wanted &= Q(changed_by=filters.by)
    if filters.assigned:
        nobody = filters.assigned == NOBODY
        wanted &= Q(assigned_to=None) if nobody else Q(assigned_to=int(filters.assigned))
    if filters.lang:
        wanted &= Q(row_check__language=_code(filters.lang))
    if filters.suggested:
        wanted &= Q(
            Exists(Suggestion.objects.filter(state=Suggestion.State.OPEN, example=OuterRef("pk")))
        )
    length = F("length") if by_length else F("length") + 0  # a sum has no index
    if filters.least:
        wanted &= Q(GreaterThanOrEqual(length, filters.least))
    if filters.most:
        wanted &= Q(LessThanOrEqual(length, filters.most))
    if filters.q:
        wanted &= text_search.saying(filters.q)
    return wanted


def total_of(
    dataset: Dataset, filters: TableFilters, named: Named, rows: ExampleQuerySet
) -> RowTotal:
    """What has to be looked for among all rows of a large set is not counted to the end, which
    would take seconds: there are more than so many."""
    if not filters.beyond_tally:
        gone = filters.status == TRASH
        return RowTotal(
            sum(
                number
                for (status, split, trashed), number in status_counts.kinds(dataset).items()
                if trashed == gone
                and filters.status in ("", TRASH, status)
                and filters.split in ("", split)
            )
        )
    if _as_found(dataset, filters, named):
        return RowTotal(len(named.among))
    if _only_looked(dataset, filters, named):
        some = rows.filter(number__lte=LOOKED)
        if named.finding:
            some = _but_for_finding(dataset, filters).filter(pk__in=named.among[:FEW])
        return RowTotal(some.order_by().count(), more=True)
    count = rows.order_by()[: COUNTED + 1].count()
    return RowTotal(min(count, COUNTED), count > COUNTED)


def _as_found(dataset: Dataset, filters: TableFilters, named: Named) -> bool:
    """Whether all rows of a large finding are shown, and none has changed since it was found."""
    asked = replace(filters, finding="", sort="", after=0, before=0, at=0).given
    checked = dataset.checked_at
    return bool(named.finding and not asked and checked and checked >= dataset.changed_at)


def page_of(dataset: Dataset, filters: TableFilters) -> TablePage:
    named = named_by(dataset, filters)
    total = total_of(dataset, filters, named, _narrowed(dataset, filters, named))
    some = _met(dataset, filters, named)
    if some is None:
        rows = _rows_for(dataset, filters, named, total)
        if number := filters.before or filters.after:
            back = bool(filters.before)
            rows = rows.filter(_beyond(dataset, filters.order, number, back=back))
        some = list(_ordered(rows, filters.order, back=bool(filters.before))[: PAGE_ROWS + 1])
    more, some = len(some) > PAGE_ROWS, some[:PAGE_ROWS]
    if filters.before:
        more_before, more_after, some = more, True, some[::-1]
    else:
        more_before, more_after = filters.after > 0, more
    first = _place(dataset, filters, named, some, total) if some else 0
    if total.more and (first or not (filters.after or filters.before)):
        total = _known_by_now(total, first + len(some) - 1 if first else 0, more_after)
    earlier, later = (max(first - PAGE_ROWS, 1), first + len(some)) if first else (0, 0)
    return TablePage(
        examples=some,
        total=total,
        first=first,
        previous=filters.query(before=some[0].number, at=earlier) if some and more_before else "",
        next=filters.query(after=some[-1].number, at=later) if some and more_after else "",
    )


def _met(dataset: Dataset, filters: TableFilters, named: Named) -> list[Example] | None:
    """The page of a large finding, and one row more, where its rows are met soon."""
    if not named.finding:
        return None
    after, before, order = filters.after, filters.before, filters.order
    rows = _but_for_finding(dataset, filters)
    if order == "number":
        return finding_rows.by_number(
            dataset, rows, named.among, after=after, before=before, most=PAGE_ROWS + 1
        )
    rows = rows.filter(dataset=dataset)
    if after or before:
        rows = rows.filter(_beyond(dataset, order, before or after, back=bool(before)))
    return finding_rows.by_another(
        _ordered(rows, order, back=bool(before)),
        named.among,
        among=dataset.last_number,
        most=PAGE_ROWS + 1,
    )


def _but_for_finding(dataset: Dataset, filters: TableFilters) -> ExampleQuerySet:
    wanted = condition(dataset, filters)
    return Example.objects.arrived().select_related("changed_by").filter(wanted)


def _rows_for(
    dataset: Dataset, filters: TableFilters, named: Named, total: RowTotal
) -> ExampleQuerySet:
    """The rows that match, asked for in the way that is quickest for this page."""
    if total.more and filters.order == "number" and (filters.least or filters.most):
        # So many have this length that sorting them takes longer than meeting fifty of them.
        return _narrowed(dataset, filters, named, by_length=bool(filters.q))
    often = len(named.among) * OFTEN > dataset.last_number
    return _narrowed(dataset, filters, named, met_soon=often)


def _only_looked(dataset: Dataset, filters: TableFilters, named: Named) -> bool:
    """Whether the rows that match are only found by going through all of a large set."""
    somewhere = bool(filters.q or filters.lang or filters.finding)
    return somewhere and not named.few and text_search.is_large(dataset)


def _known_by_now(total: RowTotal, last: int, more_after: bool) -> RowTotal:
    """The page tells more than a count that was broken off. `last`: the place of its last row."""
    return RowTotal(max(total.rows, last), more=True) if more_after else RowTotal(last)


def _place(
    dataset: Dataset, filters: TableFilters, named: Named, some: list[Example], total: RowTotal
) -> int:
    """Where the page stands. Links carry it along; else it is counted, within reason."""
    if not (filters.after or filters.before):
        return 1
    if filters.at and (filters.at + len(some) - 1 <= total.rows or total.more):
        return filters.at
    if _as_found(dataset, filters, named) and filters.order == "number":
        return bisect_left(named.among, some[0].pk) + 1
    if _only_looked(dataset, filters, named):
        return 0
    rows = _narrowed(dataset, filters, named).filter(
        _beyond(dataset, filters.order, some[0].number, back=True)
    )
    ahead = rows.order_by()[: COUNTED + 1].count()
    return ahead + 1 if ahead <= COUNTED else 0


def _ordered(rows: ExampleQuerySet, order: str, back: bool = False) -> ExampleQuerySet:
    down = order.startswith("-") != back
    names = dict.fromkeys((order.lstrip("-"), "number"))
    return rows.order_by(*(f"-{name}" if down else name for name in names))


def _beyond(dataset: Dataset, order: str, number: int, back: bool = False) -> Q:
    """What comes after (or before) the example with this number, in this order."""
    name, towards = order.lstrip("-"), "lt" if order.startswith("-") != back else "gt"
    if name == "number":
        return Q(**{f"number__{towards}": number})
    value = dataset.examples.filter(number=number).values_list(name, flat=True).first()
    if value is None:  # it is gone for good: begin at the beginning
        return Q()
    strictly, tied = Q(**{f"{name}__{towards}": value}), Q(**{f"number__{towards}": number})
    return Q(**{f"{name}__{towards}e": value}) & (strictly | tied)


def bulk_edits_of(example: Example, most: int = 100) -> list[BulkEdit]:
    """The newest sweeps that changed this example."""
    number = example.number
    near = BulkEdit.objects.filter(
        edit__dataset=example.dataset_id, first__lte=number, last__gte=number
    ).select_related("edit__by")
    return [one for one in near[:most] if number_ranges.has(one.numbers, number)]
