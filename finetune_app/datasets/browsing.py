"""The table of examples: filters that live in the address, pages by keyset."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from finetune_app.datasets.models import Dataset, Example, ExampleQuerySet, Split, Status

PAGE = 50
TRASH = "trash"


@dataclass(frozen=True)
class Filters:
    """What the address says. Anything it does not know is left out."""

    status: str = ""
    split: str = ""
    q: str = ""
    finding: str = ""
    after: int = 0
    before: int = 0

    @classmethod
    def read(cls, given: Mapping[str, str]) -> "Filters":
        def whole(name: str) -> int:
            text = given.get(name, "")
            return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0

        status, split = given.get("status", ""), given.get("split", "")
        return cls(
            status=status if status in (*Status.values, TRASH) else "",
            split=split if split in Split.values else "",
            q=given.get("q", "").replace("\x00", "").strip()[:200],
            finding=given.get("finding", "")[:40],
            after=whole("after"),
            before=whole("before"),
        )

    def query(self, **changes: Any) -> str:
        """"?status=draft&q=bike" with some of it changed; the place in the list is left out
        unless it is named."""
        values = asdict(replace(self, **({"after": 0, "before": 0} | changes)))
        return "?" + urlencode({name: value for name, value in values.items() if value})

    @property
    def here(self) -> str:
        return self.query(after=self.after, before=self.before)

    @property
    def narrowed(self) -> bool:
        return bool(self.q or self.finding or self.split)


@dataclass(frozen=True)
class Page:
    examples: list[Example]
    total: int
    first: int  # places in the filtered list, counted from 1
    previous: str
    next: str

    @property
    def last(self) -> int:
        return self.first + len(self.examples) - 1


def examples_of(dataset: Dataset, filters: Filters) -> ExampleQuerySet:
    """The filtered rows, without a place in the list."""
    rows: ExampleQuerySet = dataset.examples.select_related("changed_by")
    if filters.status == TRASH:
        rows = rows.exclude(deleted_at=None)
    else:
        rows = rows.kept()
        if filters.status:
            rows = rows.filter(status=filters.status)
    if filters.split:
        rows = rows.filter(split=filters.split)
    if filters.finding:
        found = dataset.findings.filter(check_name=filters.finding).first()
        rows = rows.filter(pk__in=found.examples if found else [])
    return rows.search(filters.q) if filters.q else rows


def page_of(dataset: Dataset, filters: Filters) -> Page:
    rows = examples_of(dataset, filters)
    total = rows.count()
    if filters.before:
        some = list(rows.filter(number__lt=filters.before).order_by("-number")[: PAGE + 1])
        more_before, more_after = len(some) > PAGE, True
        some = some[:PAGE][::-1]
    else:
        some = list(rows.filter(number__gt=filters.after).order_by("number")[: PAGE + 1])
        more_before, more_after = filters.after > 0, len(some) > PAGE
        some = some[:PAGE]
    first = rows.filter(number__lt=some[0].number).count() + 1 if some else 0
    return Page(
        examples=some,
        total=total,
        first=first,
        previous=filters.query(before=some[0].number) if some and more_before else "",
        next=filters.query(after=some[-1].number) if some and more_after else "",
    )
