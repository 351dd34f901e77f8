"""A goal with a trained adapter and a checked export, and a team that has a token of the hub."""

import io
import threading
import zipfile
from collections.abc import Callable

import pytest

from finetune_app.basemodels.models import BaseModel, HubToken
from finetune_app.core.encryption import encrypt
from finetune_app.core.files import sha256_of
from finetune_app.jobs import lease, process_ids
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job
from finetune_app.model_export import pushing
from finetune_app.model_export.models import HubPush, ModelExport
from tests import journey
from tests.hub.conftest import hub  # noqa: F401
from tests.hub.stub_hub import TOKEN
from tests.model_export.conftest import PARITY
from worker import warm_child
from worker.supervise import Supervision

README = """\
---
license: apache-2.0
---
# Old title

## How to run it

```python
model = AutoModelForCausalLM.from_pretrained("model", dtype="auto")
```

## How this file was checked

- likeliest token the same: 199 of 200

## How it was tested

It was not tested.
"""
FILES = {
    "model/config.json": b'{"model_type": "llama"}',
    "model/model-00001-of-00002.safetensors": b"first half" * 30_000,
    "model/model-00002-of-00002.safetensors": b"second half" * 30_000,
    "model/LICENSE": b"Apache License",
}


@pytest.fixture
def trained(goal, owner):
    training = journey.trained(journey.ready(goal, owner), owner)
    BaseModel.objects.filter(pk=training.base_model_id).update(licence="Apache 2.0")
    journey.write(f"{training.adapter_folder}/adapter_config.json", '{"r": 8}')
    training.base_model.refresh_from_db()
    return training


@pytest.fixture
def export(trained, owner) -> ModelExport:
    """A merged model that passed its check."""
    job = Job.objects.create(team=trained.goal.team, kind="export", state="succeeded")
    made = ModelExport.objects.create(training=trained, format="merged-bf16", job=job, by=owner)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("shop/README.md", README)
        for name, content in FILES.items():
            archive.writestr(f"shop/{name}", content)
    path = journey.write(f"{made.folder}/shop-bf16.zip", "")
    path.write_bytes(packed.getvalue())
    made.file, made.size, made.parity = path.name, path.stat().st_size, PARITY
    made.sha256 = sha256_of(path)
    made.save()
    return made


@pytest.fixture
def token(team) -> HubToken:
    return HubToken.objects.create(
        team=team,
        secret=encrypt(TOKEN),
        account="kettle",
        organisations=["lane"],
        role="write",
    )


@pytest.fixture
def start(trained, token, owner, monkeypatch) -> Callable[..., HubPush]:
    monkeypatch.setattr(jobs, "wake_worker", lambda job: True)

    def started(**fields) -> HubPush:
        given = {
            "training": trained,
            "step": None,
            "format": "adapter",
            "namespace": "kettle",
            "name": "shop-mail",
            "public": False,
            "agreed": False,
            "by": owner,
        }
        return pushing.start(**given | fields)

    return started


def work(push: HubPush) -> HubPush:
    """What a worker does: take the lease, run the child to its end."""
    taken = lease.take(push.job_id, worker=process_ids.process_id())
    assert taken is not None, "the job does not wait"
    Supervision(taken, warm_child.new_light_child, threading.Event()).run()
    return HubPush.objects.select_related("job", "training").get(pk=push.pk)
