"""The audit log as a file: CSV, safe to open in a spreadsheet, or JSON lines."""

import csv
import io
import json
from collections.abc import Generator

from finetune_app.audit.models import AuditEntry, AuditEntryQuerySet
from finetune_app.audit.presenters import Names
from finetune_app.core.text_formats import safe_cell

BATCH = 1000  # lines read at once
COLUMNS = (
    "id",
    "at",
    "action",
    "status",
    "person",
    "email",
    "key",
    "team",
    "goal",
    "target",
    "address",
    "request",
)
TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}


def pieces(lines: AuditEntryQuerySet, form: str) -> Generator[bytes]:
    """All lines, the oldest first."""
    # Those of now: the download itself leaves a line as well.
    newest = lines.order_by("-pk").values_list("pk", flat=True).first() or 0
    lines = lines.filter(pk__lte=newest)
    if form == "csv":
        yield _csv_row(list(COLUMNS))
    for batch in _batches(lines):
        users = Names(batch).users
        for line in batch:
            user = users.get(line.actor_id or 0)
            values = _values(line, user.email if user else "")
            if form == "csv":
                yield _csv_row(values)
            else:
                record = dict(zip(COLUMNS, values, strict=True))
                yield (json.dumps(record, ensure_ascii=False) + "\n").encode()


def _batches(lines: AuditEntryQuerySet) -> Generator[list[AuditEntry]]:
    last = 0
    while batch := list(lines.filter(pk__gt=last).order_by("pk")[:BATCH]):
        yield batch
        last = batch[-1].pk


def _values(line: AuditEntry, email: str) -> list[str | int | None]:
    return [
        line.pk,
        line.at.isoformat(timespec="milliseconds"),
        line.action,
        line.status,
        line.actor_id,
        email,
        line.key_id,
        line.team_id,
        line.goal_id,
        line.target,
        line.address,
        line.request_id,
    ]


def _csv_row(values: list[str | int | None]) -> bytes:
    text = io.StringIO()
    cells = [safe_cell(value) if isinstance(value, str) else value for value in values]
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()
