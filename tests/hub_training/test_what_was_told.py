"""What a training on the hub told becomes the curve, the answers and the progress of one here."""

import pytest
from django.urls import reverse

from finetune_app.hub_training.models import HubTraining
from finetune_app.training.models import Training
from tests.hub_training.conftest import step
from tests.hub_training.left_results import RESULT, leave_results

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
