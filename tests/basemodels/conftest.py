"""Fixtures: a tiny model, a local hub, and a worker that runs installs."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.urls import reverse

from finetune_app.basemodels import services
from finetune_app.basemodels.models import BaseModel, Install
from finetune_app.jobs import lease, process_ids
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job
from tests import journey
from tests.worker.in_process_child import supervise_in_process
from tests.worker.installs.hub import FakeHub
from worker import warm_child
from worker.supervise import Supervision

HUB_ID = "kettle/tiny"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A randomly initialised Qwen2 with a tokenizer and a chat template."""
    from tests.worker.engine.tiny_models import make_base

    return make_base(tmp_path_factory.mktemp("models") / "tiny-qwen2", "qwen2")


def laid(slug: str, **fields: object) -> BaseModel:
    """An installed model, as far as the web can tell."""
    made = BaseModel.objects.create(slug=slug, **{"name": slug.title(), "source": "x"} | fields)
    journey.write(f"{made.folder}/config.json", "{}")
    return made


@pytest.fixture(autouse=True)
def _tidy(data_dir) -> Iterator[None]:
    """Deletes folders, because ids are reused after each test."""
    yield
    for name in ("installs", "models"):
        shutil.rmtree(data_dir / name, ignore_errors=True)


@pytest.fixture
def hub(monkeypatch) -> Iterator[FakeHub]:
    with FakeHub() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.address)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield made


@pytest.fixture
def asleep(monkeypatch) -> None:
    """No broker: tests run the job themselves."""
    monkeypatch.setattr(jobs, "wake_worker", lambda job: True)


@pytest.fixture
def install(asleep, team, owner) -> Callable[..., Install]:
    """Install a model for the owner's team, as the page's form does."""

    def start(source: str | Path = HUB_ID) -> Install:
        return services.install(
            team=team,
            user=owner,
            source=str(source),
            licence_accepted=True,
            from_folder=str(source).startswith("/"),
        )

    return start


@pytest.fixture
def work(asleep, settings) -> Callable[[Install], Job]:
    """Take an install's lease and run it to its end."""
    settings.LEASE_SECONDS, settings.HEARTBEAT_SECONDS = 60, 5
    return lambda install: worked(install, supervise_in_process)


@pytest.fixture
def work_in_a_child(asleep, settings) -> Callable[[Install], Job]:
    """The same in a real child process, which first imports torch for seconds."""
    settings.LEASE_SECONDS, settings.HEARTBEAT_SECONDS = 60, 5

    def supervise(taken: Job) -> None:
        Supervision(taken, warm_child.new_light_child, threading.Event()).run()

    return lambda install: worked(install, supervise)


def worked(install: Install, supervise: Callable[[Job], None]) -> Job:
    taken = lease.take(install.job_id, worker=process_ids.process_id())
    assert taken is not None
    supervise(taken)
    return Job.objects.get(pk=taken.pk)


@pytest.fixture
def url(goal) -> Callable[..., str]:
    return lambda name, *ids: reverse(f"basemodels:{name}", args=[goal.pk, *ids])
