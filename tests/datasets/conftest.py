"""Examples to work with, and a worker that runs imports in a real child process."""

import json
import uuid
from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.urls import reverse

from finetune_app.core.files import local_path
from finetune_app.datasets import checks
from finetune_app.datasets import jobs as room
from finetune_app.datasets.models import Dataset, Import
from finetune_app.datasets.services import add_rows, dataset_of
from finetune_app.goals.models import Goal
from finetune_app.jobs import lease, process_ids
from finetune_app.jobs import services as job_services
from tests.worker.conftest import supervise

TOPICS = (
    "puncture",
    "brakes",
    "saddle",
    "gears",
    "light",
    "chain",
    "pedal",
    "bell",
    "fork",
    "tyre",
)
ASKS = (
    "My {0} broke on the way to work, can you look at it {1}?",
    "How much is a new {0} for an older bike, fitted {1}?",
    "I would like to bring the {0} back {1} because it does not fit",
    "Is the {0} that I ordered three weeks ago going to arrive {1}?",
    "There is a strange noise near the {0}; do you have time {1}?",
)
WHENS = ("today", "on Monday morning", "before the holidays", "this week", "by the end of May")


def pair(number: int) -> tuple[str, str]:
    """A question and its answer; no two numbers below 250 ask alike."""
    topic, ask, when = TOPICS[number % 10], ASKS[number // 10 % 5], WHENS[number // 50 % 5]
    prompt = f"{ask.format(topic, when)} Ticket {number * 7919}{chr(97 + number % 26) * 3}."
    return prompt, f"topic: {topic}\ndue: {when.replace(' ', '_')}"


def conversation(prompt: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


@pytest.fixture
def dataset(goal: Goal) -> Dataset:
    return dataset_of(goal)


@pytest.fixture
def bring(dataset: Dataset, owner) -> Callable[..., Dataset]:
    """Add `count` good examples (or rows of your own) and check them."""

    def add(count: int = 60, rows: list[dict] | None = None) -> Dataset:
        rows = rows or [{"messages": conversation(*pair(n)), "split": ""} for n in range(count)]
        add_rows(dataset=dataset, by=owner, rows=rows, source="emails.csv")
        checks.run(dataset)
        return dataset

    return add


@pytest.fixture
def no_worker(monkeypatch) -> None:
    """Nobody is woken: a test runs the job itself, when it wants to."""
    monkeypatch.setattr(job_services, "wake_worker", lambda job: True)


@pytest.fixture
def send(goal: Goal, no_worker) -> Callable[..., Import]:
    """Upload a file as a browser does."""

    def upload(client: Client, name: str, content: bytes) -> Import:
        url = reverse("datasets:upload", kwargs={"goal_id": goal.pk})
        reply = client.post(url, {"file": SimpleUploadedFile(name, content)})
        assert reply.status_code == 302, reply.content.decode()[:2000]
        return Import.objects.latest("pk")

    return upload


@pytest.fixture
def work(transactional_db) -> Callable[[Import], Import]:
    """Let a worker do what an import waits for, in a child process of its own."""

    def do(item: Import) -> Import:
        item.refresh_from_db()
        assert item.job is not None
        supervise(item.job)
        item.refresh_from_db()
        return item

    return do


@pytest.fixture
def url(goal: Goal) -> Callable[..., str]:
    def build(name: str, **kwargs: object) -> str:
        return reverse(f"datasets:{name}", kwargs={"goal_id": goal.pk, **kwargs})

    return build


@pytest.fixture
def read_file(dataset: Dataset, owner, no_worker) -> Callable[..., Import]:
    """An import whose child has read these rows, up to where a person decides or it is done."""

    def read(
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
        path = local_path(f"{item.folder}/rows.jsonl")
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps({"split": ""} | row) + "\n" for row in rows))
        bad = [{"line": n, "reason": "no answer", "text": ""} for n in range(rejected)]
        result = {
            "step": "read",
            "rows": len(rows) + rejected,
            "kept": len(rows),
            "rejected": bad,
            "rejected_count": rejected,
        }
        return run_out(item, result)

    return read


def run_out(item: Import, result: dict) -> Import:
    """What a supervisor does when the child of an import has ended well."""
    if item.job is None or not item.job.is_active:
        item.job = job_services.create(
            team=item.dataset.goal.team, kind="import", title="Import", spec={}
        )
        item.save()
    job = lease.take(item.job.pk, worker=process_ids.process_id())
    room.before_finish(job, result)
    with transaction.atomic():
        if lease.write(job, state="succeeded"):
            room.finish(job, result)
    item.refresh_from_db()
    return item
