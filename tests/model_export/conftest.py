import pytest
from django.urls import reverse

from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job
from finetune_app.model_export import services
from finetune_app.model_export.models import ModelExport
from tests import journey

PARITY = {
    "prompts": 12,
    "tokens": 200,
    "same_tokens": 199,
    "same_answers": 11,
    "spread": 4.0,
    "max_difference": 0.05,
    "mean_difference": 0.004,
    "passed": True,
}


@pytest.fixture
def trained(goal, owner):
    return journey.trained(journey.ready(goal, owner), owner)


@pytest.fixture
def export(trained, owner) -> ModelExport:
    """Queued."""
    return services.start(training=trained, format="gguf-q8_0", by=owner)


@pytest.fixture
def finished(export) -> ModelExport:
    """It passed the parity check."""
    return finish(export)


def finish(export: ModelExport) -> ModelExport:
    journey.write(f"{export.folder}/shop-q8_0.zip", "the zip")
    result = {"file": "shop-q8_0.zip", "size": 9, "sha256": "4" * 64, "parity": PARITY}
    journey.set_state(export.job, "succeeded", result=result)
    handler_for(Job.objects.get(pk=export.job_id)).finish(Job.objects.get(pk=export.job_id), result)
    return ModelExport.objects.select_related("job").get(pk=export.pk)


@pytest.fixture
def url(goal):
    return lambda name="page", **ids: reverse(
        f"model_export:{name}", kwargs={"goal_id": goal.pk, **ids}
    )
