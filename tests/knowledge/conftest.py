"""A goal with documents, indexed by the real runner in this process."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.db import transaction
from django.urls import reverse

from finetune_app.goals.models import Goal
from finetune_app.jobs.handlers import ChildSpec, handler_for
from finetune_app.jobs.models import Job, State
from finetune_app.knowledge import services
from finetune_app.knowledge.models import Document, Knowledge
from finetune_app.knowledge.schemas import IndexResult
from tests import journey
from tests.worker.imports.conftest import Recorder
from tests.worker.knowledge.conftest import PUMP, SHOP
from worker.channel import Job as WorkerJob
from worker.knowledge.run import run

__all__ = ["PUMP", "SHOP"]


@pytest.fixture(autouse=True)
def _delete_files(data_dir) -> Iterator[None]:
    """Tests roll back rows, but not files."""
    yield
    shutil.rmtree(data_dir / "knowledge", ignore_errors=True)


def add(goal: Goal, by: Any, name: str = "pump.md", content: str | bytes = PUMP) -> Document:
    data = content.encode() if isinstance(content, str) else content
    return services.add_document(goal=goal, by=by, file=ContentFile(data), name=name)


def start_job(job: Job) -> tuple[Job, ChildSpec]:
    """Start the job, as a worker that holds its lease."""
    journey.set_state(job, State.RUNNING)
    job = Job.objects.get(pk=job.pk)
    spec = handler_for(job).child_spec(job)
    assert spec is not None
    return job, spec


def run_job(spec: ChildSpec) -> IndexResult:
    """Run the child's part in this process."""
    return run(WorkerJob("index", spec.folder, dict(spec.spec)), Recorder())


def finish_job(job: Job, result: IndexResult) -> None:
    handler_for(job).before_finish(job, result)
    with transaction.atomic():  # as the supervisor does
        journey.set_state(job, State.SUCCEEDED, result=result)
        handler_for(job).finish(Job.objects.get(pk=job.pk), result)


def index_documents(goal: Goal) -> Knowledge:
    """Run the queued index job of the goal."""
    job = Knowledge.objects.get(goal=goal).job
    assert job is not None
    job, spec = start_job(job)
    finish_job(job, run_job(spec))
    return Knowledge.objects.get(goal=goal)


@pytest.fixture
def committed(django_capture_on_commit_callbacks) -> Callable[..., Any]:
    """Calls a function and then its on_commit callbacks."""

    def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with django_capture_on_commit_callbacks(execute=True):
            return function(*args, **kwargs)

    return call


@pytest.fixture
def knowledge(goal, owner, committed) -> Knowledge:
    """Two documents, indexed."""
    committed(add, goal, owner, "pump.md", PUMP)
    committed(add, goal, owner, "shop.md", SHOP)
    return committed(index_documents, goal)


@pytest.fixture
def url(goal) -> Callable[..., str]:
    return lambda name, **more: reverse(f"knowledge:{name}", kwargs={"goal_id": goal.pk, **more})
