"""What a worker asks about a training, and what it tells."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from finetune_app.basemodels.models import Speed
from finetune_app.core.files import delete_folder, local_path
from finetune_app.core.machine import this_machine
from finetune_app.jobs import services as jobs
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import State
from finetune_app.training.models import Point, SampleAnswer
from tests import journey
from worker.training.spec import TrainingSpec


def test_the_child_gets_paths_of_this_machine(waiting, data_dir):
    order = handler_for(waiting.job).child_spec(waiting.job)
    assert order.folder == data_dir / "runs" / str(waiting.pk)
    assert order.folder.is_dir()
    spec = order.spec
    assert Path(spec["base_model"]) == data_dir / "models/tiny"
    assert Path(spec["version"]) == local_path(waiting.version.stored_name)
    assert json.loads(json.dumps(spec)) == spec


def test_the_worker_accepts_the_spec(waiting):
    spec = TrainingSpec.from_json(handler_for(waiting.job).child_spec(waiting.job).spec)
    assert spec.epochs == waiting.spec["epochs"]


def test_an_answer_may_be_as_long_as_the_longest_wanted_one(ready, owner, waiting):
    strict = handler_for(waiting.job).child_spec(waiting.job).spec["max_new_tokens"]
    assert waiting.version.longest_answer // 2 <= strict <= 512
    ready.measure = "choice"
    ready.save()
    assert handler_for(waiting.job).child_spec(waiting.job).spec["max_new_tokens"] >= 256


def test_a_repeated_point_is_stored_once(waiting):
    told = {"event": "point", "step": 10, "epoch": 0.5, "loss": 2.0, "validation_loss": None}
    handler_for(waiting.job).record(waiting.job, told)
    handler_for(waiting.job).record(waiting.job, told | {"loss": 1.5})
    point = Point.objects.get()
    assert (point.step, point.loss, point.validation_loss) == (10, 1.5, None)


def test_the_two_losses_of_a_step_may_come_apart(waiting):
    handler_for(waiting.job).record(waiting.job, {"event": "point", "step": 10, "loss": 2.0})
    handler_for(waiting.job).record(
        waiting.job, {"event": "point", "step": 10, "validation_loss": 2.2}
    )
    point = Point.objects.get()
    assert (point.loss, point.validation_loss) == (2.0, 2.2)


def test_a_repeated_sample_is_stored_once(waiting):
    told = {
        "event": "sample",
        "step": 30,
        "index": 1,
        "prompt": "p",
        "wanted": "w",
        "answer": "a",
        "passed": True,
        "why": "x" * 300,
    }
    handler_for(waiting.job).record(waiting.job, told)
    handler_for(waiting.job).record(waiting.job, told)
    assert len(SampleAnswer.objects.get().why) == 200


def test_an_unknown_event_is_ignored(waiting):
    handler_for(waiting.job).record(
        waiting.job, {"event": "checkpoint", "step": 30, "name": "step-000030"}
    )
    assert not Point.objects.exists()


def test_finishing_records_the_adapters_hash_and_the_speed(ready, owner):
    training = journey.trained(ready, owner, weights="what it learned")
    assert training.adapter_sha256 == sha256(b"what it learned").hexdigest()
    speed = Speed.objects.get()
    assert (speed.what, speed.tokens_per_second) == ("training", 300.0)
    assert (speed.base_model, speed.number_format) == (training.base_model, "bf16")
    assert speed.device == this_machine().device


def test_what_was_learned_is_read_before_the_last_transaction(waiting):
    """Of a whole model it takes seconds, in which nobody else could write to SQLite."""
    journey.write(f"{waiting.adapter_folder}/adapter_model.safetensors", "what it learned")
    journey.write(f"{waiting.folder_of_step(30)}/adapter_model.safetensors", "earlier")
    result = {"adapter": "adapter", "tokens": 1, "seconds": 1}
    handler_for(waiting.job).before_finish(waiting.job, result)
    delete_folder(waiting.folder)  # what is gone cannot be read
    handler_for(waiting.job).finish(waiting.job, result)
    waiting.refresh_from_db()
    assert waiting.adapter_sha256 == sha256(b"what it learned").hexdigest()
    assert waiting.size == len("what it learned") + len("earlier")


def test_finishing_twice_changes_nothing(ready, owner):
    training = journey.trained(ready, owner)
    journey.write(f"{training.adapter_folder}/adapter_model.safetensors", "something else")
    journey.end(training.job, adapter="adapter", tokens=1, seconds=1)
    pinned = training.adapter_sha256
    training.refresh_from_db()
    assert training.adapter_sha256 == pinned
    assert Speed.objects.count() == 1


def test_a_stopped_training_has_no_adapter(waiting):
    journey.end(waiting.job, stopped=True, adapter=None)
    waiting.refresh_from_db()
    assert waiting.adapter_sha256 == ""
    assert not Speed.objects.exists()


def checkpoint_of(training) -> Path:
    return journey.write(f"{training.folder}/checkpoints/step-000030/COMPLETE", "")


def test_what_a_finished_training_would_go_on_from_is_deleted(
    waiting, django_capture_on_commit_callbacks
):
    checkpoint = checkpoint_of(waiting)
    kept = journey.write(f"{waiting.folder_of_step(30)}/adapter_model.safetensors", "earlier")
    learned = journey.write(f"{waiting.adapter_folder}/adapter_model.safetensors", "weights")
    with django_capture_on_commit_callbacks(execute=True):
        journey.end(waiting.job, adapter="adapter")
    assert not checkpoint.parents[1].exists()
    assert kept.exists()
    assert learned.exists()


def test_a_cancelled_training_leaves_nothing_on_the_disk(
    waiting, django_capture_on_commit_callbacks
):
    folder = checkpoint_of(waiting).parents[2]
    with django_capture_on_commit_callbacks(execute=True):
        assert jobs.cancel(waiting.job)
    assert not folder.exists()


def test_one_that_stopped_or_failed_can_go_on(waiting, django_capture_on_commit_callbacks):
    checkpoint = checkpoint_of(waiting)
    with django_capture_on_commit_callbacks(execute=True):
        journey.end(waiting.job, stopped=True, adapter=None)
        journey.set_state(waiting.job, State.FAILED)
        waiting.job.refresh_from_db()
        handler_for(waiting.job).fail(waiting.job)
    assert checkpoint.exists()


def test_a_missing_adapter_is_a_fault_and_not_a_success(waiting):
    delete_folder(waiting.folder)
    with pytest.raises(FileNotFoundError):
        handler_for(waiting.job).before_finish(
            waiting.job, {"adapter": "adapter", "tokens": 1, "seconds": 1}
        )
