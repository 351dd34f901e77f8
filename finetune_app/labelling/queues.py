"""The queues of rows to label: which rows wait for whom, and which one is next.

Rows are found by their number (keyset pagination), so that every row of a large dataset is
reached equally fast.
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
from finetune_app.datasets.splits import hash_fraction

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
MINE, EVERYBODY = "mine", "all"
MAX_COUNTED = 1_000  # of one user's queue; beyond that the page says "over 1,000"


@dataclass(frozen=True)
class QueueFilter:
    """A queue and an assignee, as given in the query string.

    `whose` is empty (rows assigned to the user or to nobody), MINE or EVERYBODY.
    """

    queue: str = TODO
    whose: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "QueueFilter":
        queue, whose = query.get("queue", TODO), query.get("whose", "")
        return cls(queue if queue in STATUS else TODO, whose if whose in (MINE, EVERYBODY) else "")

    def query_with(self, **changes: Any) -> str:
        """The query string after these changes, such as "?queue=done&whose=mine"."""
        changed = replace(self, **changes)
        given = {"queue": changed.queue if changed.queue != TODO else "", "whose": changed.whose}
        text = urlencode({name: value for name, value in given.items() if value})
        return f"?{text}" if text else ""

    @property
    def query(self) -> str:
        return self.query_with()


def rows_in_queue(dataset: Dataset, user: User, chosen: QueueFilter) -> ExampleQuerySet:
    """The rows of a queue for this user.

    A row that needs two answers is no longer to do for a user who has given one of them. Where no
    row needs two, none is hidden: nobody else would answer it.
    """
    found: ExampleQuerySet = dataset.examples.kept().filter(status=STATUS[chosen.queue])
    labels = Label.objects.filter(example=OuterRef("pk"))
    if chosen.queue == TODO and dataset.twice_percent:
        found = found.filter(~Exists(labels.filter(by=user)))
    if chosen.whose == MINE or (chosen.queue == TODO and not chosen.whose):
        wanted = Q(assigned_to=user)
        if chosen.queue == TODO and dataset.twice_percent:
            wanted |= _answered_by_others(dataset, user)
        if chosen.whose != MINE:
            wanted |= Q(assigned_to=None)
        found = found.filter(wanted)
    return found


def _answered_by_others(dataset: Dataset, user: User) -> Q:
    """Rows with a first answer of somebody else wait for this user's second one.

    They are few, so they are listed by primary key: then the database uses the assignee's index.
    """
    waiting = Label.objects.exclude(by=user).order_by()
    # A subquery per label: with a join, SQLite scans the whole dataset.
    here = dataset.examples.filter(pk=OuterRef("example"), status=Status.PENDING)
    keys = list(waiting.filter(Exists(here)).values_list("example", flat=True)[: MAX_COUNTED + 1])
    if len(keys) <= MAX_COUNTED:
        return Q(pk__in=keys)
    return Q(Exists(waiting.filter(example=OuterRef("pk"))))


def next_row(dataset: Dataset, user: User, chosen: QueueFilter, after: int = 0) -> Example | None:
    """The first row with a higher number; after the last one, the first row of the queue."""
    queue = rows_in_queue(dataset, user, chosen).order_by("number")
    return queue.filter(number__gt=after).first() or queue.first()


def previous_row(dataset: Dataset, user: User, chosen: QueueFilter, before: int) -> Example | None:
    queue = rows_in_queue(dataset, user, chosen)
    return queue.filter(number__lt=before).order_by("-number").first()


def queue_counts(dataset: Dataset, user: User, whose: str) -> dict[str, int]:
    """How many rows each queue has for this user.

    Also "all" (rows of the dataset that are not set aside) and "approved" (those of them that are
    done). When rows are assigned, rows to do are counted up to MAX_COUNTED + 1, so that the page
    is fast for a large dataset.
    """
    every = status_counts.counts(dataset)
    found = {queue: every[status] for queue, status in STATUS.items()}
    found["approved"] = found[DONE]
    found["all"] = every["all"] - found[ASIDE]
    if whose == MINE:
        # Ordered by number so that the database uses the index of the assignee.
        mine = dataset.examples.kept().filter(assigned_to=user).order_by("number")
        by_status = Counter(mine.values_list("status", flat=True).iterator())
        found |= {queue: by_status[status] for queue, status in STATUS.items()}
    if every[Status.PENDING] and (whose or dataset.twice_percent or has_assignments(dataset)):
        rows = rows_in_queue(dataset, user, QueueFilter(TODO, whose)).order_by()
        found[TODO] = rows[: MAX_COUNTED + 1].count()
    return found


def has_assignments(dataset: Dataset) -> bool:
    return dataset.examples.filter(assigned_to__isnull=False).exists()


def needs_two_answers(row: Example) -> bool:
    """Whether two users answer this row independently; drawn by a hash of its number."""
    percent = row.dataset.twice_percent
    return (
        row.status == Status.PENDING
        and percent > 0
        and hash_fraction(row.dataset.seed, f"twice {row.number}") < percent / 100
    )
