"""Which room a kind of job belongs to. Rooms below are named, never imported from here.

A room's jobs.py has
    child_spec(job) -> dict       what the child gets, made when a worker has the lease
    record(job, event) -> None    an event of the child; may be repeated after a resume
    before_finish(job, result)    what is slow and may be repeated, before that transaction: it
                                  holds the one write lock of SQLite, and running jobs wait for it
    finish(job, result) -> None   in the transaction that ends the job well
    fail(job) -> None             in the transaction that fails or cancels it for good
"""

import os
from importlib import import_module
from typing import Any, Protocol, cast

from finetune_app.jobs.models import Job

ROOMS = {
    "training": "finetune_app.training.jobs",
    "evaluation": "finetune_app.evaluation.jobs",
    "import": "finetune_app.imports.jobs",
    "install": "finetune_app.basemodels.jobs",
    "index": "finetune_app.knowledge.jobs",
    "check": "finetune_app.datasets.check_jobs",
    "change": "finetune_app.datasets.change_jobs",
    "suggest": "finetune_app.candidates.jobs",
    "export": "finetune_app.model_export.jobs",
    "drift": "finetune_app.deployment.drift_jobs",
}


class Room(Protocol):
    def child_spec(self, job: Job) -> dict[str, Any]: ...
    def record(self, job: Job, event: dict[str, Any]) -> None: ...
    def before_finish(self, job: Job, result: dict[str, Any]) -> None: ...
    def finish(self, job: Job, result: dict[str, Any]) -> None: ...
    def fail(self, job: Job) -> None: ...


def handler_of(kind: str) -> Room:
    return cast(Room, import_module(_names()[kind]))


def _names() -> dict[str, str]:
    """Tests put a kind of their own in place of a real one by naming a module that has ROOMS."""
    extra = os.environ.get("FINETUNE_TEST_KINDS")
    return ROOMS | import_module(extra).ROOMS if extra else ROOMS
