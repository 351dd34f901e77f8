"""What was tested with its weights rounded to 8 bits answers so wherever it is asked."""

from hashlib import sha256

import pytest
from django.urls import reverse

from finetune_app.alerts import rechecks
from finetune_app.alerts.services import watch_of
from finetune_app.api_keys.models import ApiKey
from finetune_app.candidates import services
from finetune_app.candidates.inference import request_for
from finetune_app.candidates.selection import candidate_options, option_by_key
from finetune_app.deployment import services as deployments
from finetune_app.deployment.models import Deployment
from finetune_app.evaluation import services as evaluations
from finetune_app.evaluation.candidate_selection import EvaluationInputs, create_candidates
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.prompt_baseline import BaselinePrompt
from finetune_app.gateway import model_lookup
from finetune_app.jobs.handlers import handler_for
from tests import journey
from tests.candidates.workbench_helpers import HELLO, text


@pytest.fixture
def tested(trained, owner) -> Evaluation:
    """Step 5 completed, in 8 bits."""
    return journey.evaluated(trained, owner, in_8_bits=True)


def chosen(goal, key: str):
    return option_by_key(goal, key).get_candidate()


def formats_in_the_chat(client, url, engine_requests) -> dict[str, str]:
    """How each of the two was asked."""
    page = text(client.post(url("chat"), HELLO))
    assert "tuned says hello" in page
    return {
        request["candidate"]: asked["number_format"]
        for asked in engine_requests
        for request in asked["requests"]
    }


def test_the_worker_is_told_and_all_are_asked_alike(trained, owner):
    evaluation = journey.begun(trained, owner, instructions="Sort it.", in_8_bits=True)
    specs = handler_for(evaluation.job).child_spec(evaluation.job).spec["candidates"]
    assert [one["number_format"] for one in specs] == ["int8"] * 3


def test_both_answer_so_in_the_chat_from_one_engine(as_viewer, tested, engine_requests, url):
    formats = formats_in_the_chat(as_viewer, url, engine_requests)
    assert formats == {"base": "int8", "tuned": "int8"}
    assert len(engine_requests) == 1


def test_after_a_test_as_they_are_they_answer_so_again(
    as_viewer, tested, owner, engine_requests, url
):
    journey.evaluated(tested.ours.training, owner)
    formats = formats_in_the_chat(as_viewer, url, engine_requests)
    assert formats == {"base": "fp32", "tuned": "fp32"}


def test_before_the_test_has_ended_nothing_is_rounded(as_viewer, trained, owner, goal):
    journey.begun(trained, owner, in_8_bits=True)
    assert request_for(chosen(goal, "training-1")).number_format == ""


def test_what_was_tested_goes_live(as_editor, tested, goal, monkeypatch):
    checked = []

    async def check(base_model, adapter, *, number_format):
        checked.append(number_format)
        return ""

    monkeypatch.setattr("finetune_app.core.engine_client.check_adapter", check)
    as_editor.post(reverse("deployment:go_live", args=[goal.pk]), {"candidate": "training-1"})
    assert Deployment.objects.get().current.candidate == tested.ours
    assert checked == ["int8"]
    page = text(as_editor.get(reverse("deployment:page", args=[goal.pk])))
    assert "weights rounded to 8 bits, as it was tested" in page


def test_a_tuned_model_of_the_api_answers_so(tested, goal, monkeypatch):
    training = tested.ours.training
    named = model_lookup.TunedModel("ft:tiny:cards", training, training.created_at)
    monkeypatch.setattr(model_lookup, "_tuned_model_sources", [lambda team: [named]])
    found = model_lookup.resolve(ApiKey(team=goal.team), "ft:tiny:cards")
    assert found.request.number_format == "int8"


def test_another_training_is_asked_as_it_was_tested(tested, goal, owner):
    second = journey.trained(goal, owner, weights="other")
    journey.evaluated(second, owner)
    assert request_for(chosen(goal, "training-1")).number_format == "int8"
    assert request_for(chosen(goal, f"training-{second.number}")).number_format == "fp32"


def test_kept_instructions_answer_as_they_were_tested(trained, owner, goal):
    kept = services.save_version(
        goal=goal,
        base_model=trained.base_model,
        endpoint=None,
        instructions="Sort it.",
        shots=[],
        sampling={},
    )
    tested = journey.evaluated(trained, owner, instructions="Sort it.", in_8_bits=True)
    answering = chosen(goal, f"kept-{kept.pk}")
    assert answering == tested.prompt_baseline()
    assert (answering.in_8_bits, answering.name) == (True, kept.name)


def test_another_base_model_is_not_rounded(tested, goal):
    other = journey.install("other")
    base = services.base_candidate(goal=goal, base_model=other)
    assert services.as_tested(base) == base


def test_a_kept_step_that_was_tested_twice_is_one_choice(trained, goal):
    journey.write(f"{trained.folder_of_step(30)}/adapter_model.safetensors", "earlier")
    trained.points.create(step=30, adapter_sha256="a" * 64)
    found = []
    for in_8_bits in (False, True):
        services.tuned_candidate(training=trained, step=30, in_8_bits=in_8_bits)
        found.append([one.key for one in candidate_options(goal) if one.key.startswith("step-")])
    assert found[0] == found[1]  # a page that is open goes on asking the same
    assert len(found[0]) == 1


def test_another_step_of_a_training_says_nothing_about_its_best(tested, trained, owner, goal):
    journey.write(f"{trained.folder_of_step(30)}/adapter_model.safetensors", "earlier")
    digest = sha256(b"earlier").hexdigest()
    trained.points.create(step=30, adapter_sha256=digest)
    inputs = EvaluationInputs.for_goal(goal, trained, 30)
    asked = create_candidates(inputs, prompt=BaselinePrompt("", []), keys=["tuned"])
    another = evaluations.start(goal=goal, version=trained.version, candidates=asked, user=owner)
    journey.answer_all(another, journey.tuned_is_right)
    journey.finish(another)
    assert chosen(goal, "training-1").in_8_bits


def test_a_recheck_of_what_is_live_changes_nothing(tested, trained, owner, goal):
    live = deployments.go_live(goal=goal, candidate=tested.ours, by=owner).deployment
    journey.evaluated(trained, owner)
    repeated = rechecks.start(watch_of(live)).evaluation
    journey.answer_all(repeated, journey.tuned_is_right)
    journey.finish(repeated)
    repeated.refresh_from_db()
    assert repeated.in_8_bits
    assert not chosen(goal, "training-1").in_8_bits
    assert not services.last_test_was_in_8_bits(goal, trained.base_model)


def test_a_plain_candidate_does_not_take_the_format_over(tested, trained):
    assert request_for(services.tuned_candidate(training=trained)).number_format == ""
