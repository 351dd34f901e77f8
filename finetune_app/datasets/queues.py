"""The queues of the focus view: which rows wait for whom, and which one comes next.

Rows are found by their number (keyset), so that the hundred-thousandth comes as fast as the first.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.datasets import status_counts
from finetune_app.datasets.models import Dataset, Example, ExampleQuerySet, Label, Status
from finetune_app.datasets.splits import place

TODO, DRAFT, DISPUTED, DONE, ASIDE = "todo", "draft", "disputed", "done", "aside"
STATUS = {
    TODO: Status.PENDING,
    DRAFT: Status.DRAFT,
    DISPUTED: Status.DISPUTED,
    DONE: Status.APPROVED,
    ASIDE: Status.SET_ASIDE,
}
NAMES = {
    TODO: _("To do"),
    DRAFT: _("Drafts"),
    DISPUTED: _("Disagreements"),
    DONE: _("Done"),
    ASIDE: _("Set aside"),
}
QUEUE_OF = {status: queue for queue, status in STATUS.items()}
MINE, EVERYBODY = "mine", "all"
MANY = 1_000  # rows of one person's queue; more are not counted


@dataclass(frozen=True)
class Desk:
    """What the address says: a queue, and whose rows. `whose` is empty for everything that
    is not somebody else's, MINE, or EVERYBODY."""

    queue: str = TODO
    whose: str = ""

    @classmethod
    def read(cls, given: Mapping[str, str]) -> "Desk":
        queue, whose = given.get("queue", TODO), given.get("whose", "")
        return cls(queue if queue in STATUS else TODO, whose if whose in (MINE, EVERYBODY) else "")

    def query(self, **changes: Any) -> str:
        """ "?queue=done&whose=mine"; empty for the queue that people start with."""
        one = replace(self, **changes)
        said = {"queue": one.queue if one.queue != TODO else "", "whose": one.whose}
        text = urlencode({name: value for name, value in said.items() if value})
        return f"?{text}" if text else ""

    @property
    def here(self) -> str:
        return self.query()


def rows(dataset: Dataset, user: User, desk: Desk) -> ExampleQuerySet:
    """The queue as this person sees it. What they have answered and a second person has not is
    done for them."""
    found: ExampleQuerySet = dataset.examples.kept().filter(status=STATUS[desk.queue])
    labels = Label.objects.filter(example=OuterRef("pk"))
    if desk.queue == TODO:
        found = found.filter(~Exists(labels.filter(by=user)))
    if desk.whose == MINE or (desk.queue == TODO and not desk.whose):
        wanted = Q(assigned_to=user)
        if desk.queue == TODO:
            wanted |= _answered_by_others(dataset, user)
        if desk.whose != MINE:
            wanted |= Q(assigned_to=None)
        found = found.filter(wanted)
    return found


def _answered_by_others(dataset: Dataset, user: User) -> Q:
    """What one person has answered waits for anybody else. Those rows are few, and named by their
    keys the database finds the rest by whose it is."""
    waiting = Label.objects.exclude(by=user).order_by()
    # Asked label by label: of a join SQLite would walk through the whole dataset.
    here = dataset.examples.filter(pk=OuterRef("example"), status=Status.PENDING)
    keys = list(waiting.filter(Exists(here)).values_list("example", flat=True)[: MANY + 1])
    if len(keys) <= MANY:
        return Q(pk__in=keys)
    return Q(Exists(waiting.filter(example=OuterRef("pk"))))


def following(dataset: Dataset, user: User, desk: Desk, number: int = 0) -> Example | None:
    """The next row of the queue; after the last one it begins again with what was skipped."""
    queue = rows(dataset, user, desk).order_by("number")
    return queue.filter(number__gt=number).first() or queue.first()


def preceding(dataset: Dataset, user: User, desk: Desk, number: int) -> Example | None:
    return rows(dataset, user, desk).filter(number__lt=number).order_by("-number").first()


def counts(dataset: Dataset, user: User, whose: str) -> dict[str, int]:
    """How many rows each queue has for this person; "all": rows of the dataset that are not set
    aside; "approved": those of them that are done. Where rows are somebody's, what is to do is
    counted up to MANY, so that a page never waits for a hundred thousand."""
    every = status_counts.counts(dataset)
    found = {queue: every[status] for queue, status in STATUS.items()}
    found["approved"] = found[DONE]
    found["all"] = every["all"] - found[ASIDE]
    if whose == MINE:
        # In this order the database reads them off the index of whose they are.
        mine = dataset.examples.kept().filter(assigned_to=user).order_by("number")
        by_status = Counter(mine.values_list("status", flat=True).iterator())
        found |= {queue: by_status[status] for queue, status in STATUS.items()}
    if every[Status.PENDING] and (whose or dataset.twice_percent or anybodys(dataset)):
        some = rows(dataset, user, Desk(TODO, whose)).order_by()[: MANY + 1]
        found[TODO] = some.count()
    return found


def anybodys(dataset: Dataset) -> bool:
    """Whether any row was given to somebody."""
    return dataset.examples.filter(assigned_to__isnull=False).exists()


def takes_two(row: Example) -> bool:
    """Whether two people answer this row without seeing each other's answer."""
    percent = row.dataset.twice_percent
    return (
        row.status == Status.PENDING
        and percent > 0
        and place(row.dataset.seed, f"twice {row.number}") < percent / 100
    )
