"""The cache of row scans in the database: only rows that changed are scanned again."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Q

from finetune_app.checks.models import RowCheck
from finetune_app.checks.row_scan import fingerprint, scan
from finetune_app.checks.rules.base import CheckRow, Mark, RowScan
from finetune_app.datasets.models import Dataset

BATCH = 500
FIELDS = ["fingerprint", "marks", "language", "toxic", "tokens", "answer_tokens", "model"]


def scan_rows(dataset: Dataset, rows: list[CheckRow], model: str = "") -> dict[int, RowScan]:
    """The scan of each row, by pk. New and changed rows are scanned and stored, without toxicity
    and token counts, which only a thorough check computes. `model` is the key of a TokenLimit."""
    cached = {
        pk: values
        for pk, *values in RowCheck.objects.filter(example__dataset=dataset).values_list(
            "pk", *FIELDS
        )
    }
    scans: dict[int, RowScan] = {}
    new: list[RowCheck] = []
    for row in rows:
        digest = fingerprint(row.messages, row.rejected)
        values = cached.get(row.pk)
        if values and values[0] == digest:
            scans[row.pk] = scan_from_values(values, model)
        else:
            scans[row.pk] = scan(row.messages, row.rejected)
            new.append(row_check(row.pk, digest, scans[row.pk], ""))
    store(new)
    return scans


def scan_from_values(values: list[Any], model: str) -> RowScan:
    """From the FIELDS of a RowCheck; token counts are only used if they are those of `model`."""
    _digest, marks, language, toxic, tokens, answer_tokens, counted_model = values
    is_counted = bool(model) and counted_model == model
    return RowScan(
        tuple(Mark(*mark) for mark in marks),
        language,
        toxic,
        tokens if is_counted else None,
        answer_tokens if is_counted else None,
    )


def row_check(pk: int, digest: str, scan: RowScan, model: str) -> RowCheck:
    return RowCheck(
        example_id=pk,
        fingerprint=digest,
        marks=[list(mark) for mark in scan.marks],
        language=scan.language,
        toxic=scan.toxic,
        tokens=scan.tokens,
        answer_tokens=scan.answer_tokens,
        model=model,
    )


def store(row_checks: Iterable[RowCheck]) -> None:
    RowCheck.objects.bulk_create(
        row_checks,
        batch_size=BATCH,
        update_conflicts=True,
        update_fields=FIELDS,
        unique_fields=["example"],
    )


def count_not_thorough(dataset: Dataset) -> int:
    """How many usable examples no thorough check has scanned since they last changed."""
    return dataset.examples.usable().filter(Q(row_check=None) | Q(row_check__toxic=None)).count()
