"""The table of examples: filters that live in the address, sorted pages by keyset."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import Exists, F, OuterRef, Q
from django.db.models.lookups import GreaterThanOrEqual, LessThanOrEqual
from django.utils.translation import gettext_lazy as _

from finetune_app.datasets import runs, tally
from finetune_app.datasets.models import (
    Dataset,
    Example,
    ExampleQuerySet,
    Split,
    Status,
    Suggestion,
    Sweep,
)
from finetune_app.datasets.search import matching, saying

PAGE = 50
COUNTED = 10_000  # rows up to which a narrowed list is counted; then it is "more than 10,000"
FEW = 2_000  # keys that a query may list
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
class Filters:
    """What the address says. Anything it does not know is left out."""

    status: str = ""
    split: str = ""
    q: str = ""
    finding: str = ""
    file: int = 0  # the import that brought them
    by: int = 0  # who changed them last
    assigned: str = ""  # a user's key, or "nobody"
    suggested: bool = False  # an answer is proposed
    least: int = 0  # characters of prompt and answer
    most: int = 0
    sort: str = ""
    after: int = 0  # the number of the example before the page, or after it
    before: int = 0
    at: int = 0  # the place of the page's first row in the whole list, where it is known

    @classmethod
    def read(cls, given: Mapping[str, str]) -> "Filters":
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
            suggested=given.get("suggested") == "1",
            sort=one_of("sort", SORTS),
            **{name: whole(name) for name in ("file", "by", "least", "most",
                                              "after", "before", "at")},
        )  # fmt: skip

    def query(self, **changes: Any) -> str:
        """"?status=draft&q=bike" with some of it changed; the place in the list is left out
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
            self.q or self.finding or self.file or self.by or self.assigned or self.suggested
            or self.least or self.most
        )

    @property
    def further(self) -> int:
        """How many of the filters behind “More filters” are in use."""
        return sum(map(bool, (self.file, self.by, self.assigned, self.suggested,
                              self.least or self.most)))  # fmt: skip

    @property
    def order(self) -> str:
        """The trash is always in the order of the numbers."""
        return str(SORTS[self.sort][0]) if self.status != TRASH else "number"


@dataclass(frozen=True)
class Total:
    rows: int
    more: bool = False  # there are more than `rows`


@dataclass(frozen=True)
class Page:
    examples: list[Example]
    total: Total
    first: int  # places in the filtered list, counted from 1; 0 when nobody knows
    previous: str
    next: str

    @property
    def last(self) -> int:
        return self.first + len(self.examples) - 1


def examples_of(
    dataset: Dataset, filters: Filters, *, indexed: bool = True
) -> ExampleQuerySet:
    """The filtered rows, without a place in the list."""
    rows: ExampleQuerySet = dataset.examples.arrived()
    wanted = condition(dataset, filters, indexed=indexed)
    return rows.select_related("changed_by").filter(wanted)


def condition(dataset: Dataset, filters: Filters, *, indexed: bool = True) -> Q:
    """What the filters ask of an example. Who looks through the rows anyway needs no index."""
    wanted = Q(deleted_at__isnull=filters.status != TRASH)
    if filters.status and filters.status != TRASH:
        wanted &= Q(status=filters.status)
    if filters.split:
        wanted &= Q(split=filters.split)
    if filters.finding:
        found = dataset.findings.filter(check_name=filters.finding).first()
        wanted &= Q(pk__in=found.examples if found else [])
    if filters.file:
        wanted &= Q(brought_by=filters.file)
    if filters.by:
        wanted &= Q(changed_by=filters.by)
    if filters.assigned:
        nobody = filters.assigned == NOBODY
        wanted &= Q(assigned_to=None) if nobody else Q(assigned_to=int(filters.assigned))
    if filters.suggested:
        wanted &= _suggested(dataset)
    length = F("length") if indexed else F("length") + 0  # a sum has no index
    if filters.least:
        wanted &= Q(GreaterThanOrEqual(length, filters.least))
    if filters.most:
        wanted &= Q(LessThanOrEqual(length, filters.most))
    if filters.q:
        wanted &= matching(dataset, filters.q) if indexed else saying(filters.q)
    return wanted


def _suggested(dataset: Dataset) -> Q:
    """By their keys while they are few; many of them are met soon in any order."""
    waiting = Suggestion.objects.filter(state=Suggestion.State.OPEN).order_by()
    few = waiting.filter(example__dataset=dataset).values_list("example", flat=True)
    keys = set(few[: FEW + 1])
    return Q(pk__in=keys) if len(keys) <= FEW else Q(Exists(waiting.filter(example=OuterRef("pk"))))


def total_of(dataset: Dataset, filters: Filters, rows: ExampleQuerySet) -> Total:
    if not filters.beyond_tally:
        gone = filters.status == TRASH
        return Total(sum(
            number for (status, split, trashed), number in tally.kinds(dataset).items()
            if trashed == gone and filters.status in ("", TRASH, status)
            and filters.split in ("", split)
        ))  # fmt: skip
    count = rows.order_by()[: COUNTED + 1].count()
    return Total(min(count, COUNTED), count > COUNTED)


def page_of(dataset: Dataset, filters: Filters) -> Page:
    rows = examples_of(dataset, filters)
    total = total_of(dataset, filters, rows)
    if total.more and filters.order == "number" and (filters.least or filters.most):
        # So many have this length that sorting them takes longer than meeting fifty of them.
        rows = examples_of(dataset, filters, indexed=bool(filters.q))
    if filters.before:
        back = rows.filter(_beyond(dataset, filters.order, filters.before, back=True))
        some = list(_ordered(back, filters.order, back=True)[: PAGE + 1])
        more_before, more_after = len(some) > PAGE, True
        some = some[:PAGE][::-1]
    else:
        if filters.after:
            rows = rows.filter(_beyond(dataset, filters.order, filters.after))
        some = list(_ordered(rows, filters.order)[: PAGE + 1])
        more_before, more_after = filters.after > 0, len(some) > PAGE
        some = some[:PAGE]
    first = _place(dataset, filters, some, total) if some else 0
    earlier, later = (max(first - PAGE, 1), first + len(some)) if first else (0, 0)
    return Page(
        examples=some,
        total=total,
        first=first,
        previous=filters.query(before=some[0].number, at=earlier) if some and more_before else "",
        next=filters.query(after=some[-1].number, at=later) if some and more_after else "",
    )


def _place(dataset: Dataset, filters: Filters, some: list[Example], total: Total) -> int:
    """Where the page stands. Links carry it along; else it is counted, within reason."""
    if not (filters.after or filters.before):
        return 1
    if filters.at and (filters.at + len(some) - 1 <= total.rows or total.more):
        return filters.at
    rows = examples_of(dataset, filters).filter(
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


def sweeps_over(example: Example, most: int = 100) -> list[Sweep]:
    """The newest sweeps that changed this example."""
    number = example.number
    near = Sweep.objects.filter(
        edit__dataset=example.dataset_id, first__lte=number, last__gte=number
    ).select_related("edit__by")
    return [one for one in near[:most] if runs.has(one.numbers, number)]
