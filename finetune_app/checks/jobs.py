"""The handler of jobs that check a dataset thoroughly.

The child process gets the rows in a file, each with its cached scan. It returns its scans of new
rows and its findings in files, which are deleted with the job.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from finetune_app.checks import row_check_cache
from finetune_app.checks import services as checks
from finetune_app.checks.models import RowCheck
from finetune_app.checks.rules.base import CheckResult, Mark, RowScan
from finetune_app.core.errors import PlainError
from finetune_app.core.files import delete_folder, local_folder
from finetune_app.datasets.models import Dataset, Example
from finetune_app.jobs.handlers import ChildSpec, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job

ROW_FIELDS = ("pk", "number", "split", "prompt_hash", "group", "messages", "rejected")
SCAN_FIELDS = tuple(f"row_check__{name}" for name in row_check_cache.FIELDS)


class CheckHandler(JobHandler):
    kind = JobKind(name="check", runner="worker.checks.run")

    def child_spec(self, job: Job) -> ChildSpec:
        dataset = Dataset.objects.select_related("goal").filter(check_job=job).first()
        if dataset is None:
            raise PlainError("The examples are gone, or another check has taken its place.")
        folder = Path(settings.DATA_DIR) / folder_of(job)
        folder.mkdir(parents=True, exist_ok=True)
        reading = checks.read_now(dataset)
        context = checks.check_context(dataset)
        count = _write_rows(dataset, folder / "rows.jsonl")
        (folder / "at.txt").write_text("\n".join(time.isoformat() for time in reading))
        tokenizer = local_folder(context.token_limit.folder) if context.token_limit else None
        return ChildSpec(
            folder=folder,
            spec={
                "rows": count,
                "about": asdict(context),
                "tokenizer": str(tokenizer) if tokenizer and tokenizer.is_dir() else "",
            },
        )

    def before_finish(self, job: Job, result: Result) -> None:
        """Store the scan of each row in many short transactions, so that others can write."""
        for some in _row_checks(Path(settings.DATA_DIR) / folder_of(job) / "looks.jsonl"):
            existing = Example.objects.filter(pk__in=[one.example_id for one in some])
            pks = set(existing.values_list("pk", flat=True))
            row_check_cache.store(one for one in some if one.example_id in pks)

    def finish(self, job: Job, result: Result) -> None:
        """Store the findings. A small dataset is checked again: its rows may have changed."""
        dataset = Dataset.objects.select_related("goal").filter(check_job=job).first()
        folder = Path(settings.DATA_DIR) / folder_of(job)
        if dataset is None or result.get("stopped"):
            return self.fail(job)
        if checks.is_large(dataset):
            stored = json.loads((folder / "found.json").read_text("utf-8"))
            reading = _reading_from_text((folder / "at.txt").read_text())
            found = [_result_from_json(one) for one in stored["found"]]
            checks.replace_findings(dataset, found, stored["facts"], reading)
        else:
            transaction.on_commit(lambda: checks.run_checks(dataset))
        return self.fail(job)

    def fail(self, job: Job) -> None:
        """Delete the copy of the rows."""
        transaction.on_commit(lambda: delete_folder(folder_of(job)), robust=True)


def _write_rows(dataset: Dataset, path: Path) -> int:
    """Write one JSON line per row: its columns, then its cached scan or null."""
    usable = dataset.examples.usable().order_by("number").values_list(*ROW_FIELDS, *SCAN_FIELDS)
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for values in usable.iterator(2_000):
            row, scan = values[: len(ROW_FIELDS)], values[len(ROW_FIELDS) :]
            file.write(json.dumps([*row, scan if scan[0] else None], ensure_ascii=False) + "\n")
            count += 1
    return count


def _row_checks(path: Path) -> Iterator[list[RowCheck]]:
    if not path.exists():
        return
    some: list[RowCheck] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            pk, digest, marks, language, toxic, tokens, answer, model = json.loads(line)
            scan = RowScan(tuple(Mark(*mark) for mark in marks), language, toxic, tokens, answer)
            some.append(row_check_cache.row_check(pk, digest, scan, model))
            if len(some) == row_check_cache.BATCH:
                yield some
                some = []
    yield some


def _result_from_json(stored: dict[str, Any]) -> CheckResult:
    """The result from its JSON, in which keys are strings."""
    return CheckResult(
        **stored | {"spans": {int(pk): places for pk, places in stored["spans"].items()}}
    )


def _reading_from_text(text: str) -> checks.Reading:
    """A job of an earlier release wrote no second line: then the dataset counts as changed."""
    at, *changed_at = map(datetime.fromisoformat, text.split("\n"))
    return checks.Reading(at, *(changed_at or [at]))


def folder_of(job: Job) -> str:
    return f"checks/{job.spec['dataset']}/{job.pk}"
