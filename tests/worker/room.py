"""The room of the counting kind: remembers in files what it was told."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings

from finetune_app.jobs.models import Job


def folder_of(job: Job) -> Path:
    return Path(settings.DATA_DIR) / "counting" / str(job.pk)


def child_spec(job: Job) -> dict[str, Any]:
    return {"kind": job.kind, "folder": str(folder_of(job)), "spec": job.spec}


def record(job: Job, event: dict[str, Any]) -> None:
    _append(job, "record", event)


def before_finish(job: Job, result: dict[str, Any]) -> None:
    _append(job, "before_finish", result)


def finish(job: Job, result: dict[str, Any]) -> None:
    _append(job, "finish", result)


def fail(job: Job) -> None:
    _append(job, "fail", {"state": job.state})


def _append(job: Job, what: str, value: dict[str, Any]) -> None:
    folder_of(job).mkdir(parents=True, exist_ok=True)
    with (folder_of(job) / "told.jsonl").open("a") as file:
        file.write(json.dumps([what, value]) + "\n")
