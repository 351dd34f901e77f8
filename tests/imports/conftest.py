"""Uploads, and a worker that runs imports in a real child process."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.urls import reverse

from finetune_app.datasets.models import Dataset, Import
from finetune_app.datasets.services import add_rows, dataset_of
from finetune_app.goals.models import Goal
from finetune_app.imports.jobs import STEPS_WITHOUT_CHILD, ImportHandler
from finetune_app.jobs import lease, process_ids
from finetune_app.jobs import services as job_services
from tests.example_rows import conversation, pair
from tests.worker.conftest import supervise


@pytest.fixture
def dataset(goal: Goal) -> Dataset:
    return dataset_of(goal)


@pytest.fixture
def examples(dataset: Dataset, owner) -> Callable[[int], int]:
    """Add as many good examples."""

    def add(count: int) -> int:
        rows = [{"messages": conversation(*pair(n))} for n in range(count)]
        return add_rows(dataset=dataset, by=owner, rows=rows)

    return add


@pytest.fixture
def no_worker(monkeypatch) -> None:
    """No worker is woken: a test runs the job itself."""
    monkeypatch.setattr(job_services, "wake_worker", lambda job: True)


@pytest.fixture
def url(goal: Goal) -> Callable[..., str]:
    """The address of a page of this app."""

    def build(name: str, **kwargs: object) -> str:
        return reverse(f"imports:{name}", kwargs={"goal_id": goal.pk, **kwargs})

    return build


@pytest.fixture
def dataset_url(goal: Goal) -> Callable[..., str]:
    """The address of a page of the dataset."""

    def build(name: str, **kwargs: object) -> str:
        full_name = name if ":" in name else f"datasets:{name}"
        return reverse(full_name, kwargs={"goal_id": goal.pk, **kwargs})

    return build


@pytest.fixture
def upload_file(goal: Goal, no_worker) -> Callable[..., Import]:
    """Upload a file, as a browser does."""

    def upload(client: Client, name: str, content: bytes) -> Import:
        url = reverse("imports:upload", kwargs={"goal_id": goal.pk})
        reply = client.post(url, {"file": SimpleUploadedFile(name, content)})
        assert reply.status_code == 302, reply.content.decode()[:2000]
        return Import.objects.latest("pk")

    return upload


@pytest.fixture
def run_job(transactional_db) -> Callable[[Import], Import]:
    """Run the job of an import in a child process, as a worker does."""

    def run(item: Import) -> Import:
        item.refresh_from_db()
        assert item.job is not None
        supervise(item.job)
        item.refresh_from_db()
        return item

    return run


@pytest.fixture
def run_import(dataset: Dataset, owner, no_worker) -> Callable[..., Import]:
    """An import of these rows, run until it is done or waits for a decision."""

    def run(
        rows: list[dict], *, mode: str = "append", rejected: int = 0, **fields: object
    ) -> Import:
        item = Import.objects.create(
            dataset=dataset,
            by=owner,
            file_name="new.csv",
            mode=mode,
            step=Import.Step.READING,
            stored_name=f"uploads/{uuid.uuid4().hex}/upload",
            mapping={"style": "pairs"},
            **fields,
        )
        default_storage.save(item.stored_name, ContentFile(b"as uploaded"))
        return finish_reading(item, rows, rejected)

    return run


def finish_reading(item: Import, rows: list[dict], rejected: int = 0) -> Import:
    """Finish the job that reads a file, as if its child had found these rows."""
    folder = Path(settings.DATA_DIR) / item.folder
    folder.mkdir(parents=True, exist_ok=True)
    bad = [{"line": n, "reason": "no answer", "text": ""} for n in range(rejected)]
    for name, lines in (("rows", [{"split": ""} | row for row in rows]), ("rejected", bad)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text)
    result = {
        "step": "read",
        "rows": len(rows) + rejected,
        "kept": len(rows),
        "rejected": bad,
        "rejected_count": rejected,
        "splits": sorted({row.get("split", "") for row in rows} - {""}),
    }
    return finish_job(item, result)


def finish_job(item: Import, result: dict) -> Import:
    """Finish the job of an import as the supervisor does, with this result of its child."""
    if item.job is None or not item.job.is_active:
        item.job = job_services.create(
            team=item.dataset.goal.team, kind="import", title="Import", spec=result
        )
        item.save()
    job = lease.take(item.job.pk, worker=process_ids.process_id())
    handler = ImportHandler()
    if result["step"] in STEPS_WITHOUT_CHILD:
        result = handler.run(job)
    handler.before_finish(job, result)
    with transaction.atomic():
        if lease.write(job, state="succeeded"):
            handler.finish(job, result)
    item.refresh_from_db()
    return item
