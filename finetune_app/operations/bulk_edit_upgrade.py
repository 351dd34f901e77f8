"""Converts bulk edits of the first schema, one row with number ranges, to one Change an example."""

import json
from collections.abc import Iterator
from typing import Any

from django.db import connection

from finetune_app.core import bulk_sql
from finetune_app.datasets.models import Change, Edit, Example

TABLE = "datasets_sweep"
STEPS = {"sweep": "bulk_edit", "mend": "apply_fix"}  # old and new step of an unfinished edit
MAX_QUERY_KEYS = 500


def convert(schema: str) -> None:
    """Store a Change for every example of every bulk edit; rename the steps of unfinished ones."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT edit_id, numbers, before, after FROM {schema}.{TABLE} ORDER BY id")
        bulk_edits = cursor.fetchall()
    datasets = dict(Edit.objects.values_list("pk", "dataset"))
    for edit_id, ranges, before, after in bulk_edits:
        numbers = list(unpack(ranges))
        for start in range(0, len(numbers), MAX_QUERY_KEYS):
            examples = Example.objects.filter(
                dataset=datasets[edit_id], number__in=numbers[start : start + MAX_QUERY_KEYS]
            )
            bulk_sql.insert(
                [
                    Change(
                        edit_id=edit_id,
                        example_id=key,
                        before=json.loads(before),
                        after=json.loads(after),
                    )
                    for key in examples.values_list("pk", flat=True)
                ]
            )
    for edit in Edit.objects.exclude(todo={}):
        edit.todo = _converted(edit.todo)
        edit.save(update_fields=["todo"])


def _converted(todo: dict[str, Any]) -> dict[str, Any]:
    if not todo:
        return todo
    renamed = todo | {"do": STEPS.get(todo["do"], todo["do"])}
    if isinstance(todo.get("numbers"), str):
        left = (number for number in unpack(todo["numbers"]) if number > todo["next"])
        renamed["numbers"] = list(left)
    if "then" in todo:
        renamed["then"] = [_converted(one) for one in todo["then"]]
    return renamed


def unpack(ranges: str) -> Iterator[int]:
    """The numbers of "1-400 402 500-7000"."""
    for part in ranges.split():
        first, _dash, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
