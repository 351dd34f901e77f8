"""What a training on the hub told becomes the curve, the answers and the progress of one here."""

import hashlib
import json

import pytest
from django.urls import reverse

from finetune_app.hub_training import results
from finetune_app.hub_training.models import HubTraining
from finetune_app.training.models import Training
from tests.hub_training.conftest import step
from tests.hub_training.left_results import ADAPTER, RESULT, leave_results
from worker import hub_job

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def over(start, stub) -> HubTraining:
    """It is over there; a test leaves the results."""
    training = step(start())
    stub.job.ended = "COMPLETED"
    return training


def progress(done: int, total: int) -> dict:
    return {"event": "progress", "done": done, "total": total, "unit": "steps"}


def point(number: int, **fields: float) -> dict:
    return {"event": "point", "step": number, "epoch": number / 2, "loss": 2.0, **fields}


def test_one_that_ended_early_says_after_how_many_of_its_passes(over, hub, as_owner):
    HubTraining.objects.update(spec=over.spec | {"epochs": 3})
    events = [*map(point, range(1, 4)), progress(3, 6)]
    leave_results(hub, over, result=RESULT | {"ended_early": True}, events=events)
    step(over)
    made = Training.objects.get()
    assert (made.job.done, made.job.total) == (3, 6)
    page = as_owner.get(reverse("training:detail", args=[made.goal_id, made.number])).text
    assert "It stopped by itself after 1.5 of up to 3 passes" in page
    assert "Step 3 of 3: pass 2 of 2" in page


def test_a_long_curve_holds_the_database_for_a_few_statements(
    over, hub, django_assert_max_num_queries
):
    """On SQLite, nobody else can write meanwhile."""
    leave_results(hub, over, events=[*map(point, range(1, 401)), progress(400, 400)])
    with django_assert_max_num_queries(150):
        step(over)
    assert Training.objects.get().points.count() == 400


def test_what_is_told_again_counts_as_it_was_told_last(over, hub):
    sample = {"event": "sample", "step": 2, "index": 0, "prompt": "p", "wanted": "w", "answer": "a"}
    warning = {"event": "warning", "text": "Short of memory."}
    kept = {"2": hashlib.sha256(ADAPTER["steps/000002/adapter_model.safetensors"]).hexdigest()}
    told = [point(2), point(2, loss=1.5), {"event": "point", "step": 2, "validation_loss": 1.2}]
    events = [*told, sample, sample | {"answer": "b", "why": "x" * 300}, warning, warning]
    leave_results(hub, over, result=RESULT | {"kept_steps": kept}, events=events)
    step(over)
    made = Training.objects.get()
    point_of_2 = made.points.get()
    assert (point_of_2.loss, point_of_2.validation_loss) == (1.5, 1.2)
    assert point_of_2.adapter_sha256 == kept["2"]
    assert (made.samples.get().answer, len(made.samples.get().why)) == ("b", 200)
    assert made.warnings == ["Short of memory."]


def test_of_too_many_events_the_newest_are_read(over, hub, monkeypatch):
    monkeypatch.setattr(results, "MAX_EVENTS", 5)
    leave_results(hub, over, events=[*map(point, range(1, 21)), progress(20, 20)])
    remote = step(over)
    assert (remote.job.done, remote.job.total) == (20, 20)
    assert Training.objects.get().points.last().step == 20


def test_a_long_curve_is_told_thinner_and_where_it_was_measured_whole(monkeypatch):
    """An adapter may be kept of each step at which the practice examples were read."""
    monkeypatch.setattr(hub_job, "MAX_POINTS", 8)
    channel = hub_job.HubChannel()
    for number in range(100):
        measured = 1.0 if number % 33 == 0 else None
        channel.emit("point", step=number, loss=2.0, validation_loss=measured)
        channel.emit("progress", done=number, total=100, unit="steps")
    told = [json.loads(line) for line in channel.text().splitlines()]
    steps = [one["step"] for one in told if one["event"] == "point"]
    assert {0, 33, 66, 99} <= set(steps)
    assert [one for one in steps if one % 33] == [16, 32, 48, 64, 80, 96]
    assert told[-1]["done"] == 99
