"""What QLoRA trained answers beside weights rounded to 4 bits, wherever it is asked."""

import pytest
from django.urls import reverse

from finetune_app.candidates import services
from finetune_app.candidates.inference import request_for
from finetune_app.candidates.models import Candidate
from finetune_app.evaluation.models import Evaluation
from finetune_app.jobs.handlers import handler_for
from finetune_app.knowledge.models import Knowledge
from tests import journey
from tests.candidates.workbench_helpers import HELLO, text


@pytest.fixture
def qlora(goal, owner):
    """Step 4 completed with QLoRA."""
    journey.ready(goal, owner)
    return journey.qlora_trained(goal, owner)


def test_its_candidate_has_the_format_from_the_start(qlora):
    candidate = services.tuned_candidate(training=qlora)
    assert services.candidate_spec(candidate)["number_format"] == "nf4"
    assert request_for(candidate).number_format == "nf4"
    assert services.tuned_candidate(training=qlora) == candidate


def test_a_kept_step_has_it_too(qlora):
    journey.write(f"{qlora.folder_of_step(30)}/adapter_model.safetensors", "earlier")
    qlora.points.create(step=30, adapter_sha256="a" * 64)
    assert services.tuned_candidate(training=qlora, step=30).number_format == "nf4"


def test_so_it_has_with_documents(qlora):
    found = Knowledge.objects.create(goal=qlora.goal, index=3, last_index=3, passages=40)
    journey.write(f"{found.index_folder}/index.json", "{}")
    candidate = services.rag_candidate(goal=qlora.goal, training=qlora)
    assert candidate.number_format == "nf4"
    found.index = 4
    found.save()
    current = services.with_current_documents(Candidate.objects.get(pk=candidate.pk))
    assert (current.knowledge_index, current.number_format) == (4, "nf4")
    assert services.rag_candidate(goal=qlora.goal, base_model=qlora.base_model).number_format == ""


def test_what_lora_trained_and_the_base_model_are_asked_as_before(trained):
    tuned = services.tuned_candidate(training=trained)
    base = services.base_candidate(goal=trained.goal, base_model=trained.base_model)
    assert (tuned.number_format, base.number_format) == ("", "")


def test_the_evaluation_keeps_it(qlora, owner):
    evaluation = journey.begun(qlora, owner)
    specs = handler_for(evaluation.job).child_spec(evaluation.job).spec["candidates"]
    assert {bool(one["adapter"]): one["number_format"] for one in specs} == {
        True: "nf4",
        False: "",
    }
    journey.answer_all(evaluation, journey.tuned_is_right)
    journey.finish(evaluation)
    assert Evaluation.objects.get().ours.number_format == "nf4"
    assert Candidate.objects.get(pk=evaluation.base_id).number_format == "fp32"


def test_in_the_chat_each_of_the_two_has_its_own_weights(as_viewer, qlora, engine_requests, url):
    page = text(as_viewer.post(url("chat"), HELLO))
    assert "base says hello" in page
    assert "tuned says hello" in page
    asked = {one["requests"][0]["candidate"]: one["number_format"] for one in engine_requests}
    assert asked == {"base": "auto", "tuned": "nf4"}


def test_it_is_checked_and_goes_live_on_them(as_editor, qlora, monkeypatch):
    checked = []

    async def check(base_model, adapter, *, number_format):
        checked.append(number_format)
        return ""

    monkeypatch.setattr("finetune_app.core.engine_client.check_adapter", check)
    as_editor.post(
        reverse("deployment:go_live", args=[qlora.goal_id]),
        {"candidate": f"training-{qlora.number}"},
    )
    assert checked == ["nf4"]
