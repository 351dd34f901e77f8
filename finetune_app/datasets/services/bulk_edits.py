"""Changing many examples alike: everything that matches some filters, or chosen rows.

A bulk edit walks through the numbers a window at a time (batch_edits.py), so memory is bounded
however many rows there are. Each row that changes gets a Change, like in any other edit.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.datasets.models import Dataset, Edit, Example, Status
from finetune_app.datasets.services import batch_edits
from finetune_app.datasets.services.editing import MAX_QUERY_KEYS, change_many
from finetune_app.datasets.services.locking import count_label
from finetune_app.datasets.table_query import TableFilters, examples_of

WINDOW = 2_000  # rows or numbers in one transaction

Fields = dict[str, Any]  # of status, split, assigned_to, deleted: those that change


def bulk_edit(
    *,
    dataset: Dataset,
    by: User | None,
    message: str,
    after: Fields,
    filters: TableFilters,
    numbers: Iterable[int] | None = None,
) -> Edit:
    """One Edit that sets the fields `after` on all rows that match the filters, or on the rows
    with these `numbers`. `message` describes it afterwards, with %(n)s for "12 examples". Very many
    rows change in a job: then the edit is not done when this returns, and `todo` has the rest."""
    rows, fixed = dataset.last_number, None if numbers is None else sorted(numbers)
    if fixed is None:
        matching = examples_of(dataset, filters).order_by("number").values_list("number", flat=True)
        few = list(matching[: batch_edits.MAX_ROWS_IN_REQUEST + 1])
        if len(few) <= batch_edits.MAX_ROWS_IN_REQUEST:
            fixed = few
        elif filters.finding:  # the next check may find other rows
            fixed = list(matching.iterator())
    return batch_edits.begin(
        dataset=dataset,
        by=by,
        what=message % {"n": _("many examples")},
        todo=pending_bulk_edit(after, message, filters.query(), fixed, dataset.last_number),
        rows=rows if fixed is None else len(fixed),
    )


def pending_bulk_edit(
    after: Fields, message: str, filters: str, numbers: list[int] | None, last: int
) -> Fields:
    """The `todo` of an edit that has this bulk edit to do. Without `numbers` each window asks
    the filters."""
    return {
        "do": "bulk_edit",
        "filters": filters,
        "after": after,
        "message": message,
        "numbers": numbers,
        "next": 0,
        "last": last,
    }


@batch_edits.batch_step("bulk_edit")
def _edit_window(edit: Edit, dataset: Dataset) -> None:
    todo, after = edit.todo, edit.todo["after"]
    keys, numbers, up_to = _next_window(todo, dataset)

    def fields(example: Example) -> Fields:
        if after.get("status") == Status.APPROVED and not example.answer.strip():
            edit.left += example.status != Status.APPROVED  # there is no answer to approve
            return {}
        return dict(after)

    change_many(
        dataset=dataset,
        by=edit.by,
        what="",
        edit=edit,
        examples=[Example(pk=pk) for pk in keys],  # read again with the lock held
        fields=fields,
    )
    edit.todo = todo | {"next": up_to, "numbers": numbers}
    if up_to >= todo["last"]:
        edit.what = (todo["message"] % {"n": count_label(edit.count)})[:120]
        *then, edit.todo = todo.get("then") or [{}]
        if then:
            edit.todo["then"] = then


def _next_window(todo: Fields, dataset: Dataset) -> tuple[list[int], list[int] | None, int]:
    """The keys of the next rows, the numbers left after them, and the number reached."""
    filters = TableFilters.read(dict(parse_qsl(todo["filters"].lstrip("?"))))
    if todo["numbers"] is None:
        up_to = todo["next"] + WINDOW
        rows = examples_of(dataset, filters).filter(number__gt=todo["next"], number__lte=up_to)
        return list(rows.order_by("number").values_list("pk", flat=True)), None, up_to
    window, left = todo["numbers"][:WINDOW], todo["numbers"][WINDOW:]
    rows = examples_of(dataset, TableFilters(status=filters.status)).order_by("number")
    keys: list[int] = []
    for start in range(0, len(window), MAX_QUERY_KEYS):
        some = rows.filter(number__in=window[start : start + MAX_QUERY_KEYS])
        keys += some.values_list("pk", flat=True)
    return keys, left, window[-1] if left else todo["last"]
