"""Changing many examples alike: everything that matches, a million rows if need be.

A sweep goes through the numbers a window at a time, each window in a transaction of its own, so
its memory is bounded and others can write in between. What is not done yet stands in the edit's
`todo`; a request works for a moment and leaves the rest to the next one. Whoever closes the
browser finds the change half done, named on the dataset's page, to go on with or to undo.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Length, Trim
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.datasets import runs, tally
from finetune_app.datasets.browsing import Filters, condition
from finetune_app.datasets.models import Dataset, Edit, Example, ExampleQuerySet, Status, Sweep
from finetune_app.datasets.services.ground import label, lock, touch

WINDOW = 5_000  # numbers looked at in one transaction
SOME = 500  # keys in one query: databases take only so many variables
MOMENT = 2.0  # seconds that one request works

Fields = dict[str, Any]  # of status, split, assigned_to, deleted: those that change


def sweep(
    *, dataset: Dataset, by: User | None, said: str, after: Fields, filters: Filters,
    numbers: Iterable[int] | None = None,
) -> Edit:
    """One Edit that gives `after` to all that the filters match, or to the rows with these
    `numbers`. `said` tells it afterwards, with %(n)s for "12 examples". The edit may not be
    through when this returns: then `todo` holds the rest."""
    if numbers is None and filters.finding:  # the finding may be another one in a moment
        found = dataset.examples.arrived().filter(condition(dataset, filters))
        numbers = found.order_by("number").values_list("number", flat=True)
    todo = {
        "filters": filters.query(), "after": after, "said": said,
        "next": 0, "last": dataset.last_number,
        "numbers": None if numbers is None else runs.pack(sorted(numbers)),
    }
    what = (said % {"n": _("many examples")})[:120]
    edit = Edit.objects.create(dataset=dataset, what=what, by=by, todo=todo)
    return go_on(edit)


def take_back(*, edit: Edit, back: Edit) -> Edit:
    """Let `back` undo the sweeps of `edit`, the last one first."""
    newest = edit.sweeps.first()
    if newest is None:
        return back
    total = edit.sweeps.count()
    back.todo = {"undo": edit.pk, "next": 0, "last": total, "below": newest.pk + 1}
    back.save(update_fields=["todo"])
    return go_on(back)


def go_on(edit: Edit, seconds: float | None = None) -> Edit:
    """Work on what is left, for a moment."""
    ends = time.monotonic() + (MOMENT if seconds is None else seconds)
    while True:
        with transaction.atomic():
            dataset = lock(edit.dataset)
            edit = Edit.objects.select_for_update().get(pk=edit.pk)
            if edit.todo:
                step = _undo_next if "undo" in edit.todo else _next_window
                step(edit, dataset)
                edit.save(update_fields=["what", "todo", "count", "left"])
        if not edit.todo or time.monotonic() >= ends:
            return edit


def share(edit: Edit) -> float:
    """How much of it is done, 0 to 1."""
    todo = edit.todo
    return min(1.0, todo["next"] / todo["last"]) if todo and todo["last"] else 1.0


# ---- Forward ----


def _next_window(edit: Edit, dataset: Dataset) -> None:
    todo = edit.todo
    filters = Filters.read(dict(parse_qsl(todo["filters"].lstrip("?"))))
    if todo["numbers"] is not None:
        filters = Filters(status=filters.status)
    wanted, up_to = _window(todo)
    after = todo["after"]
    found: list[tuple[int, int, int, Fields]] = []
    for some in wanted:
        rows = dataset.examples.arrived().filter(some, condition(dataset, filters, indexed=False))
        found += _as_they_are(rows)
    changes: dict[tuple, list[tuple[int, int]]] = defaultdict(list)
    for key, number, said, state in found:
        before = tuple((name, state[name]) for name in after if state[name] != after[name])
        if before and after.get("status") == Status.APPROVED and not said:
            edit.left += 1  # nothing to approve: there is no answer
        elif before:
            changes[before].append((key, number))
    states = {key: state for key, _number, _said, state in found}
    _apply(edit, dataset, [(dict(b), {n: after[n] for n, _v in b}, rows)
                           for b, rows in changes.items()], states)  # fmt: skip
    edit.todo = todo | {"next": up_to}
    if up_to >= todo["last"]:
        edit.what = (todo["said"] % {"n": label(edit.count)})[:120]
        edit.todo = {}


def _window(todo: Fields) -> tuple[list[Q], int]:
    """The next rows to look at, as conditions, and the number up to which that goes."""
    if todo["numbers"] is None:
        up_to = todo["next"] + WINDOW
        return [Q(number__gt=todo["next"], number__lte=up_to)], up_to
    left = [number for number in runs.unpack(todo["numbers"]) if number > todo["next"]]
    now = left[:WINDOW]
    up_to = now[-1] if len(left) > WINDOW else todo["last"]
    return [Q(number__in=now[at : at + SOME]) for at in range(0, len(now), SOME)], up_to


# ---- Back ----


def _undo_next(edit: Edit, dataset: Dataset) -> None:
    todo = edit.todo
    one = Sweep.objects.filter(edit=todo["undo"], pk__lt=todo["below"]).first()
    if one is None:
        edit.todo = {}
        return
    numbers = list(runs.unpack(one.numbers))
    rows, states, missing = [], {}, len(numbers)
    for at in range(0, len(numbers), SOME):
        some = dataset.examples.filter(number__in=numbers[at : at + SOME])
        for key, number, _said, state in _as_they_are(some):
            if all(state[name] == value for name, value in one.after.items()):
                rows.append((key, number))
                states[key] = state
                missing -= 1
    edit.left += missing  # changed since by somebody, or gone for good
    _apply(edit, dataset, [(one.after, one.before, rows)] if rows else [], states)
    edit.todo = todo | {"below": one.pk, "next": todo["next"] + 1}


# ---- Both ----


def _as_they_are(rows: ExampleQuerySet) -> Iterator[tuple[int, int, int, Fields]]:
    """(key, number, length of the answer, what an edit may change), and held."""
    values = (
        rows.select_for_update().order_by("number").annotate(said=Length(Trim("answer")))
        .values_list("pk", "number", "said", "status", "split", "assigned_to", "deleted_at")
    )  # fmt: skip
    for key, number, said, status, split, assigned_to, deleted_at in values:
        yield key, number, said, {
            "status": status, "split": split, "assigned_to": assigned_to,
            "deleted": deleted_at is not None,
        }  # fmt: skip


def _apply(
    edit: Edit, dataset: Dataset, groups: list[tuple[Fields, Fields, list[tuple[int, int]]]],
    states: dict[int, Fields],
) -> None:
    """Write (before, after, [(key, number)]) groups, and what they were."""
    now, delta = timezone.now(), Counter[tally.Kind]()
    for before, after, rows in groups:
        columns = _columns(after, now)
        for at in range(0, len(rows), SOME):
            keys = [key for key, _number in rows[at : at + SOME]]
            Example.objects.filter(pk__in=keys).update(
                **columns, changed_by=edit.by_id, changed_at=now
            )
        for key, _number in rows:
            delta[_kind(states[key])] -= 1
            delta[_kind(states[key] | after)] += 1
        numbers = [number for _key, number in rows]
        Sweep.objects.create(
            edit=edit, first=numbers[0], last=numbers[-1], numbers=runs.pack(numbers),
            before=before, after=after,
        )
        edit.count += len(rows)
    if groups:
        touch(dataset, delta)


def _columns(after: Fields, now: datetime) -> Fields:
    columns = {name: value for name, value in after.items() if name in ("status", "split")}
    if "assigned_to" in after:
        columns["assigned_to_id"] = after["assigned_to"]
    if "deleted" in after:
        columns["deleted_at"] = now if after["deleted"] else None
    return columns


def _kind(state: Fields) -> tally.Kind:
    return state["status"], state["split"], state["deleted"]
