"""From a goal here to a container there and back: the adapter is the one that is made here."""

import json
import shutil

import pytest
from django.conf import settings

from finetune_app.basemodels.services import choose, register
from finetune_app.core.files import sha256_of
from finetune_app.jobs.models import Job, State
from finetune_app.training.jobs import TrainingHandler
from finetune_app.training.models import Training
from finetune_app.training.services import start as start_here
from tests.hub.stub_hub import TOKEN
from tests.hub_training.conftest import step
from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import Job as ChildJob
from worker.training import loop

STARTER = settings.BASE_DIR / ".cache" / "models" / "smollm2-135m-instruct"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]
# Each side measures which format is faster; so small a model is as fast in both on a busy machine.
SAME_FORMAT = {"number_format": "fp32"}


def test_the_adapter_that_comes_back_is_the_one_made_here(
    hub, stub, start, ready, owner, data_dir, tmp_path
):
    """Bit for bit, with the same spec, seed and libraries on the same kind of processor."""
    stub.runs = True
    remote = start()
    remote.spec |= SAME_FORMAT
    remote.save()
    remote = step(remote)
    assert remote.job.state == State.QUEUED, remote.job.message
    assert stub.wait().stage == "COMPLETED", stub.job.log.read_text()
    remote = step(remote)
    assert remote.job.state == State.SUCCEEDED, remote.job.message

    came = Training.objects.get(pk=remote.training_id)
    here = start_here(goal=ready, user=owner)
    spec = {**TrainingHandler().child_spec(here.job).spec, **SAME_FORMAT}
    channel = RecordingChannel()
    loop.run(ChildJob("training", tmp_path / "here", spec), channel)
    ours = sha256_of(tmp_path / "here" / "adapter" / "adapter_model.safetensors")
    assert came.spec == {**here.spec, **SAME_FORMAT}
    assert came.adapter_sha256 == ours
    assert sha256_of(data_dir / came.adapter_folder / "adapter_model.safetensors") == ours

    # The curve, the samples and the machine came with it, and the goal counts it as its own.
    points = {event["step"]: event for event in channel.of("point")}
    assert {point.step for point in came.points.all()} == set(points)
    assert came.samples.count() == len(channel.of("sample"))
    assert came.job.result["machine"] == "Hugging Face Jobs, cpu-basic"
    assert (came.number, came.job.kind, came.job.state) == (remote.number, "training", "succeeded")
    assert remote.seconds == 63

    # Nothing is left there, and nothing here but the training.
    assert set(hub.repositories) == {("model", "kettle/tiny-base")}
    assert remote.left_there == ""
    assert not (data_dir / remote.folder / "fetched").exists()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_starter_too(hub, stub, start, goal, owner, data_dir, tmp_path):
    """The model that every installation has, with its weights from the hub; one pass."""
    if not STARTER.exists():
        pytest.skip("the starter is not in .cache/models")
    shutil.copytree(STARTER, data_dir / "models" / "starter", dirs_exist_ok=True)
    weights = {"model.safetensors": (STARTER / "model.safetensors").read_bytes()}
    there = hub.add("kettle/starter", weights)
    base = register(
        slug="starter", name="Starter", source="kettle/starter", revision=there.commits[-1]
    )
    choose(goal=goal, slug=base.slug, user=owner)
    stub.runs = True
    remote = start()
    quick = {"epochs": 1, "validation_prompts": 2, "sample_prompts": 1, "replay_share": 0.0}
    remote.spec |= quick
    remote.save()
    remote = step(remote)
    assert stub.wait().stage == "COMPLETED", stub.job.log.read_text()
    remote = step(remote)
    assert remote.job.state == State.SUCCEEDED, remote.job.message

    here = start_here(goal=goal, user=owner)
    spec = {**TrainingHandler().child_spec(here.job).spec, **quick}
    loop.run(ChildJob("training", tmp_path / "here", spec), RecordingChannel())
    ours = sha256_of(tmp_path / "here" / "adapter" / "adapter_model.safetensors")
    assert remote.training.adapter_sha256 == ours


def test_what_leaves_is_what_a_training_reads(hub, stub, start, ready):
    """Rows of training and practice, without test rows and names of files; the base model's weights
    come from the hub."""
    remote = step(start())
    sent = hub.repositories["dataset", remote.data_repository]
    assert sent.private
    assert hub.repositories["model", remote.result_repository].private
    rows = [json.loads(line) for line in sent.files["rows.jsonl"].content.splitlines()]
    assert {row["split"] for row in rows} == {"train", "validation"}
    assert not any("source" in row for row in rows)
    order = json.loads(sent.files["order.json"].content)
    assert order["fetched"] == ["model.safetensors"]
    assert not any(name.endswith("model.safetensors") for name in sent.files)
    assert "base/tokenizer.json" in sent.files


def test_the_token_is_a_secret_of_the_job_and_nothing_else(hub, stub, start, data_dir):
    remote = step(start())
    given = stub.job.given
    assert given["secrets"] == {"HF_TOKEN": TOKEN}
    assert TOKEN not in json.dumps({k: v for k, v in given.items() if k != "secrets"})
    sent = hub.repositories["dataset", remote.data_repository]
    for blob in sent.files.values():
        assert TOKEN.encode() not in blob.content
    job = Job.objects.get(pk=remote.job_id)
    assert TOKEN not in f"{job.spec}{job.message}{job.detail}{remote.spec}{remote.events}"


def test_another_base_model_there_is_not_trained(hub, stub, start, base):
    stub.runs = True
    there = hub.repositories["model", "kettle/tiny-base"]
    blob = there.files["model.safetensors"]
    there.history[base.revision]["model.safetensors"] = type(blob)(blob.content + b"x", True)
    remote = step(start())
    assert stub.wait().stage == "ERROR"
    remote = step(remote)
    assert remote.job.state == State.FAILED
    assert "is not the file that this training was agreed to with" in remote.job.message
    assert not Training.objects.exists()
    assert set(hub.repositories) == {("model", "kettle/tiny-base")}
