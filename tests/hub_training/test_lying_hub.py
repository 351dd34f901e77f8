"""What came back is believed only as far as it is checked."""

import json
from types import SimpleNamespace

import pytest
from django.urls import reverse

from finetune_app.hub_training import platform, results
from finetune_app.hub_training.hardware import machines
from finetune_app.hub_training.platform import HubJobs
from finetune_app.jobs.models import State
from finetune_app.training.models import Training
from tests.hub.repositories import Blob
from tests.hub.stub_hub import TOKEN
from tests.hub_training.conftest import step
from tests.hub_training.left_results import ADAPTER, RESULT, leave_results

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def over(start, stub):
    """It is over there; a test leaves the results."""
    training = step(start())
    stub.job.ended = "COMPLETED"
    return training


def test_a_right_result_is_a_training(over, hub, data_dir):
    leave_results(hub, over)
    training = step(over)
    assert training.job.state == State.SUCCEEDED
    made = Training.objects.get()
    assert made.points.get(step=1).validation_loss == 2.1
    assert made.samples.get().answer == "a"
    assert (data_dir / made.folder_of_step(2) / "adapter_model.safetensors").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../outside.safetensors",
        "adapter/../../x.json",
        "adapter/weights.bin",
        "adapter/run.py",
        "adapter/.hidden.json",
        "steps/x/adapter_model.safetensors",
        "elsewhere/adapter_model.safetensors",
    ],
)
def test_a_file_that_no_training_leaves(over, hub, data_dir, name):
    leave_results(hub, over, {**ADAPTER, name: b"x"})
    training = step(over)
    assert training.job.state == State.FAILED
    assert "not there as a training leaves it" in training.job.message
    assert not Training.objects.exists()
    assert not (data_dir / "hub" / "outside.safetensors").exists()


@pytest.mark.parametrize(
    "missing", ["adapter/adapter_model.safetensors", "adapter/adapter_config.json"]
)
def test_without_the_adapter_there_is_no_training(over, hub, missing):
    leave_results(hub, over, {name: body for name, body in ADAPTER.items() if name != missing})
    assert step(over).job.state == State.FAILED
    assert not Training.objects.exists()


def test_a_file_that_was_exchanged(over, hub):
    leave_results(hub, over)
    there = hub.repositories["model", over.result_repository]
    name = "adapter/adapter_model.safetensors"
    there.commit(there.files | {name: Blob(b"something else", True)})
    training = step(over)
    assert training.job.state == State.FAILED
    assert "is not what the training left" in training.job.message
    assert not Training.objects.exists()


def test_looked_at_again_once_it_is_right(over, hub):
    from finetune_app.hub_training import services

    training = step(over)  # nothing is there yet
    assert training.job.state == State.FAILED
    leave_results(hub, training)
    services.resume(training=training)
    assert step(training).job.state == State.SUCCEEDED


@pytest.mark.parametrize("result", [[], "x", None, {"a": {"b": {"c": 1}}}, {"x": "y" * 10**6}])
def test_a_result_of_another_shape(over, hub, result):
    leave_results(hub, over, result=result)
    training = step(over)
    if isinstance(result, dict) or result is None:  # None is the usual one
        assert training.job.state == State.SUCCEEDED
        assert len(json.dumps(Training.objects.get().job.result)) < 10_000
    else:
        assert training.job.state == State.FAILED


@pytest.mark.parametrize(
    "line",
    [
        {"event": "point", "step": -1},
        {"event": "point", "step": "1"},
        {"event": "point", "step": True},
        {"event": "sample", "step": 1, "index": 10**6},
        {"event": "progress", "done": "x", "total": 3},
        {"event": "progress", "done": 1, "total": 0},
        {"event": "result", "x": 1},
        {"event": ["point"]},
        3,
        None,
        [[[]]],
    ],
)
def test_events_of_another_shape_are_left_out(line):
    assert results._event(json.dumps(line)) is None


def test_numbers_and_texts_are_bounded():
    point = results._event('{"event": "point", "step": 1, "loss": Infinity, "epoch": 1e300}')
    assert point == {"event": "point", "step": 1, **dict.fromkeys(results.NUMBERS)}
    sample = results._event(
        json.dumps({"event": "sample", "step": 1, "index": 0, "prompt": "x" * 10**6, "passed": 3})
    )
    assert (len(sample["prompt"]), sample["passed"]) == (results.MAX_TEXT, None)
    assert results._event("[" * 100_000) is None


def test_an_early_end_that_does_not_say_when_is_none(over, hub, as_owner):
    leave_results(hub, over, result=RESULT | {"ended_early": True, "steps": "three"})
    step(over)
    made = Training.objects.get()
    page = as_owner.get(reverse("training:detail", args=[made.goal_id, made.number])).text
    assert "It stopped by itself" not in page


def test_too_much_is_not_read(over, hub, monkeypatch):
    monkeypatch.setattr(results, "MAX_TOLD_BYTES", 100)
    leave_results(hub, over)
    assert step(over).job.state == State.FAILED
    monkeypatch.setattr(results, "MAX_TOLD_BYTES", 8_000_000)
    monkeypatch.setattr(results, "MAX_BYTES", 10)
    leave_results(hub, over, result=RESULT)


@pytest.mark.parametrize(
    "answer", [b"<html>", b"[]", b'{"id": 3}', b'{"status": {"stage": 7}}', b"x" * 10]
)
def test_answers_of_the_hub_that_are_none(over, hub, stub, answer):
    hub.others.insert(0, lambda handler, method, path, *rest: answer if "/job0" in path else None)
    training = step(over)
    assert training.job.state == State.QUEUED
    assert "something else than expected" in training.job.message
    hub.others.pop(0)
    leave_results(hub, over)
    assert step(training).job.state == State.SUCCEEDED


BIG = 10**400  # too large for a float
HALF = chr(0xD800)  # half a character, which cannot be written as UTF-8


def test_numbers_and_texts_that_break_what_reads_them(over, hub, as_owner):
    events = [
        {"event": "progress", "done": BIG, "total": BIG},
        {"event": "point", "step": 1, "loss": BIG, "epoch": float("nan")},
        {"event": "sample", "step": 1, "index": 0, "prompt": f"p{HALF}\0", "answer": HALF},
        {"event": "warning", "text": f"a {HALF}"},
    ]
    result = {
        "steps": "many",
        "best_step": [3],
        "kept_steps": "none",
        "tokens": BIG,
        "seconds": float("inf"),
        "number_format": f"{HALF}",
        f"{HALF}\0": 1,
    }
    leave_results(hub, over, events=events, result=result)
    training = step(over)
    assert training.job.state == State.SUCCEEDED, training.job.detail
    made = Training.objects.get()
    assert made.samples.get().answer == "�"
    assert made.job.result["kept_steps"] == {}
    assert not {"steps", "best_step", "tokens", "seconds"} & set(made.job.result)
    for name, number in (("hub_training", training.number), ("training", made.number)):
        page = reverse(f"{name}:detail", args=[training.goal_id, number])
        assert as_owner.get(page).status_code == 200


def test_an_error_whose_text_breaks_what_reads_it(start, hub, stub):
    training = step(start())
    stub.job.ended = "ERROR"
    there = hub.repositories["model", training.result_repository]
    there.commit({"error.json": Blob(b"[" * 100_000, False)})
    assert results.read_error(hub_jobs(), training) == ""
    told = json.dumps({"message": f"no memory {HALF}"}).encode()
    there.commit({"error.json": Blob(told, False)})
    assert step(training).job.message == "no memory �"


def hub_jobs() -> HubJobs:
    return HubJobs(TOKEN)


def test_a_log_does_not_hold_the_token_nor_a_part_of_it(over, monkeypatch):
    line = "x" * 490 + TOKEN + HALF + "\0"
    jobs = hub_jobs()
    monkeypatch.setattr(jobs._api, "fetch_job_logs", lambda **given: [line])
    assert TOKEN[:8] not in jobs.log("kettle", "job0")
    jobs.log("kettle", "job0").encode()


@pytest.mark.parametrize("job_id", ["../../repos/delete", "", "a b", "x" * 201, HALF])
def test_a_number_of_a_job_that_is_none(job_id):
    found = SimpleNamespace(id=job_id, status=SimpleNamespace(stage="RUNNING", message=""))
    with pytest.raises(ValueError, match="no job"):
        platform._hub_job(found)


def test_templates_beside_the_tokenizer_come_back(over, hub, data_dir):
    name = "adapter/additional_chat_templates/tool_use.jinja"
    leave_results(hub, over, {**ADAPTER, name: b"{{ messages }}"})
    assert step(over).job.state == State.SUCCEEDED
    assert (data_dir / Training.objects.get().folder / name).exists()


@pytest.mark.parametrize("cost", [10**400, 10**12, -5, True])
def test_a_price_that_cannot_be_true(stub, token, cost):
    stub.hardware[1]["unitCostMicroUSD"] = cost
    assert stub.hardware[1]["name"] not in [one.flavor for one in machines(TOKEN)]
