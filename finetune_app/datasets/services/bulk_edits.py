"""Changing many examples alike: everything that matches, a million rows if need be.

A bulk edit walks through the numbers a window at a time (batch_edits.py), so memory is bounded,
and is stored as ranges of numbers with their previous values.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from django.db.models import Q
from django.db.models.functions import Length, Trim
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.datasets import number_ranges, status_counts
from finetune_app.datasets.models import BulkEdit, Dataset, Edit, Example, ExampleQuerySet, Status
from finetune_app.datasets.services import batch_edits
from finetune_app.datasets.services.locking import count_label, mark_changed
from finetune_app.datasets.table_query import TableFilters, condition, examples_of

WINDOW = 5_000  # numbers looked at in one transaction
SOME = 500  # keys in one query: databases take only so many variables

Fields = dict[str, Any]  # of status, split, assigned_to, deleted: those that change


def bulk_edit(
    *,
    dataset: Dataset,
    by: User | None,
    said: str,
    after: Fields,
    filters: TableFilters,
    numbers: Iterable[int] | None = None,
) -> Edit:
    """One Edit that gives `after` to all that the filters match, or to the rows with these
    `numbers`. `said` tells it afterwards, with %(n)s for "12 examples". Many rows change in a
    job: the edit is not through when this returns, and `todo` holds the rest."""
    rows = dataset.last_number
    if numbers is None:
        numbers, rows = _named(dataset, filters, rows)
    packed = None if numbers is None else number_ranges.pack(sorted(numbers))
    return batch_edits.begin(
        dataset=dataset,
        by=by,
        what=said % {"n": _("many examples")},
        todo=pending_bulk_edit(after, said, filters.query(), packed, dataset.last_number),
        rows=rows if packed is None else number_ranges.count(packed),
    )


def _named(dataset: Dataset, filters: TableFilters, rows: int) -> tuple[Iterable[int] | None, int]:
    """The numbers of what matches, where they are few or will be others in a moment; else None:
    each window finds them. And about how many there are."""
    found = examples_of(dataset, filters).order_by("number").values_list("number", flat=True)
    if filters.finding:  # the next check may find something else
        return found.iterator(), rows
    if rows > batch_edits.MAX_ROWS_IN_REQUEST:
        few = list(found[: batch_edits.MAX_ROWS_IN_REQUEST + 1])
        return (few, len(few)) if len(few) <= batch_edits.MAX_ROWS_IN_REQUEST else (None, rows)
    return None, rows


def pending_bulk_edit(
    after: Fields, said: str, filters: str, numbers: str | None, last: int
) -> Fields:
    """The `todo` of an edit until the bulk edit is done. `numbers`: see number_ranges.py."""
    return {
        "do": "bulk_edit",
        "filters": filters,
        "after": after,
        "said": said,
        "numbers": numbers,
        "next": 0,
        "last": last,
    }


# ---- Forward ----


@batch_edits.batch_step("bulk_edit")
def _next_window(edit: Edit, dataset: Dataset) -> None:
    todo = edit.todo
    filters = TableFilters.read(dict(parse_qsl(todo["filters"].lstrip("?"))))
    if todo["numbers"] is not None:
        filters = TableFilters(status=filters.status)
    wanted, up_to = _window(todo)
    after = todo["after"]
    found: list[tuple[int, int, int, Fields]] = []
    for some in wanted:
        rows = dataset.examples.arrived().filter(some, condition(dataset, filters, by_length=False))
        found += _as_they_are(rows)
    changes: dict[tuple, list[tuple[int, int]]] = defaultdict(list)
    for key, number, said, state in found:
        before = tuple((name, state[name]) for name in after if state[name] != after[name])
        if before and after.get("status") == Status.APPROVED and not said:
            edit.left += 1  # nothing to approve: there is no answer
        elif before:
            changes[before].append((key, number))
    states = {key: state for key, _number, _said, state in found}
    _apply(
        edit,
        dataset,
        [(dict(b), {n: after[n] for n, _v in b}, rows) for b, rows in changes.items()],
        states,
    )
    edit.todo = todo | {"next": up_to}
    if up_to >= todo["last"]:
        edit.what = (todo["said"] % {"n": count_label(edit.count)})[:120]
        *then, edit.todo = todo.get("then") or [{}]
        if then:
            edit.todo["then"] = then


def _window(todo: Fields) -> tuple[list[Q], int]:
    """The next rows to look at, as conditions, and the number up to which that goes."""
    if todo["numbers"] is None:
        up_to = todo["next"] + WINDOW
        return [Q(number__gt=todo["next"], number__lte=up_to)], up_to
    left = [number for number in number_ranges.unpack(todo["numbers"]) if number > todo["next"]]
    now = left[:WINDOW]
    up_to = now[-1] if len(left) > WINDOW else todo["last"]
    return [Q(number__in=now[at : at + SOME]) for at in range(0, len(now), SOME)], up_to


# ---- Back ----


def revert(one: BulkEdit, edit: Edit, dataset: Dataset) -> int:
    """As part of `edit`, let one sweep not have been; what somebody changed since is left. How
    many rows it had."""
    numbers = list(number_ranges.unpack(one.numbers))
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
    return len(numbers)


# ---- Both ----


def _as_they_are(rows: ExampleQuerySet) -> Iterator[tuple[int, int, int, Fields]]:
    """(key, number, length of the answer, what an edit may change), and held."""
    values = (
        rows.select_for_update()
        .order_by("number")
        .annotate(said=Length(Trim("answer")))
        .values_list("pk", "number", "said", "status", "split", "assigned_to", "deleted_at")
    )
    for key, number, said, status, split, assigned_to, deleted_at in values:
        yield (
            key,
            number,
            said,
            {
                "status": status,
                "split": split,
                "assigned_to": assigned_to,
                "deleted": deleted_at is not None,
            },
        )


def _apply(
    edit: Edit,
    dataset: Dataset,
    groups: list[tuple[Fields, Fields, list[tuple[int, int]]]],
    states: dict[int, Fields],
) -> None:
    """Write (before, after, [(key, number)]) groups, and what they were."""
    now, delta = timezone.now(), Counter[status_counts.Kind]()
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
        BulkEdit.objects.create(
            edit=edit,
            first=numbers[0],
            last=numbers[-1],
            numbers=number_ranges.pack(numbers),
            before=before,
            after=after,
        )
        edit.count += len(rows)
    if groups:
        mark_changed(dataset, delta)


def _columns(after: Fields, now: datetime) -> Fields:
    columns = {name: value for name, value in after.items() if name in ("status", "split")}
    if "assigned_to" in after:
        columns["assigned_to_id"] = after["assigned_to"]
    if "deleted" in after:
        columns["deleted_at"] = now if after["deleted"] else None
    return columns


def _kind(state: Fields) -> status_counts.Kind:
    return state["status"], state["split"], state["deleted"]
