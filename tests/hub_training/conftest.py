"""A goal that is ready to be trained, a team with a token of the hub, and jobs on a stub of it."""

import shutil
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings

from finetune_app.basemodels.models import HubToken
from finetune_app.basemodels.services import register
from finetune_app.core.encryption import encrypt
from finetune_app.hub_training import services
from finetune_app.hub_training.hardware import Machine
from finetune_app.hub_training.models import HubTraining
from finetune_app.jobs import lease, process_ids
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job
from tests import journey
from tests.hub.conftest import hub as hub_on_loopback
from tests.hub.stub_hub import TOKEN
from tests.hub.stub_jobs import StubJobs
from tests.worker.engine.tiny_models import make_base
from worker import warm_child
from worker.supervise import Supervision

CPU = Machine("cpu-basic", "CPU Basic", "2 vCPU", "16 GB", "", Decimal("0.000167"))
SOURCE, COMMIT = "kettle/tiny-base", "c" * 40


hub = hub_on_loopback


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    return make_base(tmp_path_factory.mktemp("models") / "tiny", "qwen2")


@pytest.fixture
def stub(hub, tmp_path) -> Iterator[StubJobs]:
    made = StubJobs(hub, tmp_path / "containers")
    yield made
    made.end()


@pytest.fixture
def base(hub, tiny_model):
    """Installed here from a commit of the hub, where its weights lie."""
    slug = "tiny-base"
    shutil.copytree(tiny_model, settings.DATA_DIR / "models" / slug, dirs_exist_ok=True)
    weights = {"model.safetensors": (tiny_model / "model.safetensors").read_bytes()}
    there = hub.add(SOURCE, weights)
    return register(
        slug=slug, name="Tiny", source=SOURCE, licence="Apache 2.0", revision=there.commits[-1]
    )


@pytest.fixture
def ready(goal, owner, base):
    return journey.ready(goal, owner, base)


@pytest.fixture
def token(team) -> HubToken:
    return HubToken.objects.create(
        team=team, secret=encrypt(TOKEN), account="kettle", organisations=["lane"], role="write"
    )


@pytest.fixture
def start(ready, token, stub, owner, monkeypatch) -> Callable[..., HubTraining]:
    monkeypatch.setattr(jobs, "wake_worker", lambda job: True)

    def started(**fields) -> HubTraining:
        given = {
            "goal": ready,
            "user": owner,
            "namespace": "kettle",
            "machine": CPU,
            "hours": 2,
        }
        return services.start(**given | fields)

    return started


def step(training: HubTraining) -> HubTraining:
    """What a worker does when the job is due, which it is made now."""
    Job.objects.filter(pk=training.job_id).update(not_before=None)
    taken = lease.take(training.job_id, worker=process_ids.process_id())
    assert taken is not None, "the job does not wait"
    Supervision(taken, warm_child.new_light_child, threading.Event()).run()
    return HubTraining.objects.select_related("job", "training", "goal").get(pk=training.pk)
