"""A goal with documents, and a worker that reads them for real in this process."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from django.core.files.base import ContentFile
from django.db import transaction
from django.urls import reverse

from finetune_app.goals.models import Goal
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job, State
from finetune_app.knowledge import services
from finetune_app.knowledge.models import Document, Knowledge
from tests import journey
from tests.worker.imports.conftest import Recorder
from tests.worker.knowledge.conftest import PUMP, SHOP
from worker.channel import Job as Work
from worker.knowledge.run import run

__all__ = ["PUMP", "SHOP"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_shelf(data_dir) -> Iterator[None]:
    """Rows are rolled back after a test, files are not."""
    yield
    shutil.rmtree(data_dir / "knowledge", ignore_errors=True)


def add(goal: Goal, by: Any, name: str = "pump.md", content: str | bytes = PUMP) -> Document:
    data = content.encode() if isinstance(content, str) else content
    return services.add_document(goal=goal, by=by, file=ContentFile(data), name=name)


def begin(job: Job) -> tuple[Job, dict[str, Any]]:
    """A worker took the lease and got its order."""
    journey.set_state(job, State.RUNNING)
    job = Job.objects.get(pk=job.pk)
    return job, handler_for(job).child_spec(job)


def work(order: dict[str, Any]) -> dict[str, Any]:
    """What the child does, here."""
    return run(Work("index", order.folder, order.spec), Recorder())


def end(job: Job, result: dict[str, Any]) -> None:
    handler_for(job).before_finish(job, result)
    with transaction.atomic():  # as the supervisor ends a job
        journey.set_state(job, State.SUCCEEDED, result=result)
        handler_for(job).finish(Job.objects.get(pk=job.pk), result)


def read(goal: Goal) -> Knowledge:
    """All that waits is read, cut and made searchable."""
    job = Knowledge.objects.get(goal=goal).job
    assert job is not None
    job, order = begin(job)
    end(job, work(order))
    return Knowledge.objects.get(goal=goal)


@pytest.fixture
def now(django_capture_on_commit_callbacks) -> Callable[..., Any]:
    """Do something, and all that it leaves for after the commit."""

    def do(what: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with django_capture_on_commit_callbacks(execute=True):
            return what(*args, **kwargs)

    return do


@pytest.fixture
def knowledge(goal, owner, now) -> Knowledge:
    """Two documents that can be searched."""
    now(add, goal, owner, "pump.md", PUMP)
    now(add, goal, owner, "shop.md", SHOP)
    return now(read, goal)


@pytest.fixture
def url(goal) -> Callable[..., str]:
    return lambda name, **more: reverse(f"knowledge:{name}", kwargs={"goal_id": goal.pk, **more})
