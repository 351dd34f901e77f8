"""Installing a model: from a folder and from a hub, through the real service and a real child."""

import json

import pytest

from finetune_app.basemodels import services
from finetune_app.basemodels.models import BaseModel, Install
from finetune_app.jobs.models import Job, State

FORM = {"licence_accepted": "on"}


@pytest.fixture
def install(asleep, team, owner):
    def start(source, **options):
        return services.install(
            team=team, user=owner, source=str(source), licence_accepted=True,
            from_folder=str(source).startswith("/"), **options,
        )  # fmt: skip

    return start


@pytest.mark.django_db(transaction=True)
def test_a_folder_becomes_a_model_of_the_team(install, work, tiny_model, team, data_dir):
    made = install(tiny_model)
    job = work(made)
    assert (job.state, job.message) == (State.SUCCEEDED, "Done.")
    model = BaseModel.objects.get()
    assert model.team == team
    assert model.slug == made.slug
    assert model.architecture == "Qwen2ForCausalLM"
    assert model.context == 4096
    folder = data_dir / model.folder
    copied = (folder / "model.safetensors").read_bytes()
    assert copied == (tiny_model / "model.safetensors").read_bytes()
    assert model.files.keys() <= {path.name for path in folder.iterdir()}
    assert not (data_dir / made.folder).exists()
    assert (job.done, job.unit) == (job.total, "bytes")
