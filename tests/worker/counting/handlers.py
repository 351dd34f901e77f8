"""Jobs that count. Their handlers record each call in a file."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from finetune_app.core.errors import PlainError
from finetune_app.jobs import handlers, lease
from finetune_app.jobs.handlers import ChildSpec, JobHandler
from finetune_app.jobs.kinds import KINDS, JobKind
from finetune_app.jobs.models import Job

RUNNER = "tests.worker.counting.runner"


def folder_of(job: Job) -> Path:
    return Path(settings.DATA_DIR) / "counting" / str(job.pk)


class CountingHandler(JobHandler):
    """A heavy job with a child."""

    kind = JobKind(name="count-heavy", runner=RUNNER, progress=("saved",), heavy=True)

    def child_spec(self, job: Job) -> ChildSpec:
        return ChildSpec(folder_of(job), job.spec)

    def record(self, job: Job, event: dict[str, Any]) -> None:
        _append(job, "record", event)

    def before_finish(self, job: Job, result: dict[str, Any]) -> None:
        _append(job, "before_finish", result)

    def finish(self, job: Job, result: dict[str, Any]) -> None:
        _append(job, "finish", result)

    def fail(self, job: Job) -> None:
        _append(job, "fail", {"state": job.state})


class LightCountingHandler(CountingHandler):
    kind = JobKind(name="count-light", runner=RUNNER)


class ChildlessCountingHandler(CountingHandler):
    """Counts in the supervisor, with one transaction per step."""

    kind = JobKind(name="count-here")

    def run(self, job: Job) -> dict[str, Any]:
        for step in range(1, job.spec["steps"] + 1):
            time.sleep(job.spec["pause"])
            if job.spec.get("fault") == step:
                raise PlainError("There is no next number.")
            with transaction.atomic():
                if not lease.write(job, done=step, total=job.spec["steps"], unit="steps"):
                    return {"steps": step - 1}
                _append(job, "step", {"step": step})
        return {"steps": job.spec["steps"]}


HANDLERS = (CountingHandler(), LightCountingHandler(), ChildlessCountingHandler())


@contextmanager
def registered() -> Iterator[None]:
    """Register the kinds of job that count in this process."""
    for handler in HANDLERS:
        handlers.register(handler)
    yield
    for handler in HANDLERS:
        del KINDS[handler.kind.name], handlers._HANDLERS[handler.kind.name]


def _append(job: Job, method: str, value: dict[str, Any]) -> None:
    folder_of(job).mkdir(parents=True, exist_ok=True)
    with (folder_of(job) / "calls.jsonl").open("a") as file:
        file.write(json.dumps([method, value]) + "\n")
