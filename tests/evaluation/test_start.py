"""Starting an evaluation: base, tuned and the prompt baseline on the same frozen prompts."""

import re

import pytest
from django.urls import reverse

from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path
from finetune_app.evaluation import candidate_selection
from finetune_app.evaluation.models import Evaluation
from finetune_app.goals import services as goals
from finetune_app.jobs import services as jobs
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job, State
from finetune_app.versions.models import Version
from tests import journey

TICKED = {"from_page": "1", "with_prompt": "on", "with_tuned": "on"}


@pytest.fixture
def rounding_helps(trained, monkeypatch):
    """The base model is of a kind that OpenVINO computes, and OpenVINO is here."""
    trained.base_model.shape = {"model_type": "llama"}
    trained.base_model.save()
    monkeypatch.setattr(candidate_selection, "is_quick_in_8_bits", lambda: True)
    monkeypatch.setattr(candidate_selection, "some_have_a_card", lambda: False)


def test_starting_creates_an_evaluation_and_its_job(as_editor, editor, goal, trained, url):
    reply = as_editor.post(url("start"))
    evaluation = Evaluation.objects.get()
    assert reply["Location"] == url("detail", evaluation.pk)
    assert evaluation.started_by == editor
    assert evaluation.version == trained.version
    assert (evaluation.job.state, evaluation.job.kind) == (State.QUEUED, "evaluation")
    assert evaluation.ours.adapter_sha256 == trained.adapter_sha256
    assert evaluation.base.training is None
    assert "About to start" in as_editor.get(url("detail", evaluation.pk)).content.decode()


@pytest.mark.parametrize("tuning", ["lora", "qlora"])
def test_only_a_test_in_4_bits_waits_for_a_graphics_card(
    as_editor, trained, url, monkeypatch, tuning
):
    monkeypatch.setattr("finetune_app.evaluation.services.some_have_a_card", lambda: True)
    trained.spec["tuning"] = tuning
    trained.save()
    as_editor.post(url("start"))
    assert Evaluation.objects.get().job.needs_card == (tuning == "qlora")


def test_an_empty_form_uses_the_default_prompt(as_editor, goal, trained, url):
    as_editor.post(url("start"))
    baseline = Evaluation.objects.get().prompt_baseline()
    assert "Sort each email." in baseline.instructions
    assert len(baseline.shots) == 4


def test_instructions_from_the_form_are_used(as_editor, trained, url):
    as_editor.post(url("start"), TICKED | {"instructions": "You sort emails. Be terse."})
    baseline = Evaluation.objects.get().prompt_baseline()
    assert baseline.instructions == "You sort emails. Be terse."


def test_an_unticked_prompt_baseline_is_left_out(as_editor, trained, url):
    as_editor.post(url("start"), {"from_page": "1", "with_tuned": "on", "instructions": "Any"})
    assert Evaluation.objects.get().prompt_baseline() is None


def test_too_long_instructions_are_rejected(as_editor, trained, url):
    form = TICKED | {"instructions": "x" * 20_001}
    assert as_editor.post(url("start"), form).status_code == 422
    assert not Evaluation.objects.exists()


def test_starting_twice_returns_the_active_evaluation(as_editor, trained, url):
    assert as_editor.post(url("start"))["Location"] == as_editor.post(url("start"))["Location"]
    assert Job.objects.filter(kind="evaluation").count() == 1


def test_an_empty_form_shows_a_finished_evaluation(as_editor, tested, url):
    """The same greedy answers again would only be a second look at the held-out prompts."""
    form = {"training": tested.ours.training_id}
    as_editor.post(url("start"), form)
    with_baseline = Evaluation.objects.first()
    journey.answer_all(with_baseline, journey.tuned_is_right)
    journey.finish(with_baseline)
    assert as_editor.post(url("start"), form)["Location"] == url("detail", with_baseline.pk)
    assert Evaluation.objects.count() == 2
    as_editor.post(url("start"), form | TICKED)
    assert Evaluation.objects.count() == 3


def test_a_blind_choice_has_no_prompt_baseline(as_editor, goal, trained, url):
    goals.choose_measure(goal=goal, kind="choice", settings={})
    assert "A fair comparison" not in as_editor.get(url("page")).content.decode()
    as_editor.post(url("start"))
    assert not Evaluation.objects.get().others.exists()


def test_shots_are_dropped_to_leave_room_for_the_question(as_editor, trained, url):
    trained.base_model.context = 256
    trained.base_model.save()
    as_editor.post(url("start"))
    assert len(Evaluation.objects.get().prompt_baseline().shots) < 4


def test_a_changed_adapter_file_is_not_tested(trained, owner):
    evaluation = journey.begun(trained, owner)
    weights = local_path(trained.adapter_folder) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"more")
    with pytest.raises(PlainError, match="were changed since it ended"):
        handler_for(evaluation.job).child_spec(evaluation.job)


def test_the_measure_is_frozen_with_it(as_editor, goal, trained, url):
    as_editor.post(url("start"))
    goals.choose_measure(goal=goal, kind="close", settings={})
    assert Evaluation.objects.get().measure == "exact"


def test_the_chosen_training_is_tested(as_editor, owner, goal, trained, url):
    journey.trained(goal, owner, weights="another")
    as_editor.post(url("start"), {"training": trained.pk})
    assert Evaluation.objects.get().ours.training == trained


@pytest.mark.parametrize("odd", ["²", "9" * 5000, "1e3", "-1"])
def test_an_invalid_training_number_is_ignored(as_editor, trained, url, odd):
    assert as_editor.post(url("start"), {"training": odd}).status_code in (302, 404)


def test_without_a_training_a_good_prompt_is_compared_with_the_base(as_editor, goal, owner, url):
    journey.ready(goal, owner)
    assert "Training 1" not in as_editor.get(url("page")).content.decode()
    as_editor.post(url("start"))
    evaluation = Evaluation.objects.get()
    assert (evaluation.base.kind, evaluation.ours.kind) == ("base", "prompt")
    assert evaluation.general["level"] == "unchanged", "nothing was trained, nothing forgotten"


def test_without_a_version_or_a_model_the_page_says_what_is_missing(as_editor, goal, owner, url):
    page = as_editor.get(url("page")).content.decode()
    assert "Freeze a version" in page
    assert reverse("datasets:page", args=[goal.pk]) in page
    journey.freeze(goal, owner)
    assert "Choose a base model first" in as_editor.get(url("page")).content.decode()
    assert as_editor.post(url("start")).status_code == 400


def test_without_a_ticked_option_starting_is_rejected(as_editor, trained, url):
    reply = as_editor.post(url("start"), {"from_page": "1", "instructions": "Sort."})
    assert reply.status_code == 400
    assert "nothing yet to compare" in reply.content.decode()


def test_without_test_prompts_starting_is_rejected(as_editor, trained, url):
    Version.objects.update(counts={"train": 60, "validation": 0, "test": 0})
    reply = as_editor.post(url("start"))
    assert reply.status_code == 400
    assert "This version has no test prompts" in reply.content.decode()
    assert not Job.objects.filter(kind="evaluation").exists()


def test_a_worker_is_woken_after_the_commit(
    as_editor, trained, url, monkeypatch, django_capture_on_commit_callbacks
):
    seen = []
    monkeypatch.setattr(
        jobs, "wake_worker", lambda job: seen.append(Evaluation.objects.filter(job=job).exists())
    )
    with django_capture_on_commit_callbacks(execute=True):
        as_editor.post(url("start"))
        assert seen == []
    assert seen == [True]


def test_an_error_at_the_start_rolls_everything_back(trained, owner, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(Evaluation.objects, "create", broken)
    with pytest.raises(RuntimeError):
        journey.begun(trained, owner)
    assert not Job.objects.filter(kind="evaluation").exists()


def test_the_launch_page_says_how_often_results_were_seen(as_editor, tested, url):
    page = as_editor.get(url("page") + "?new").content.decode()
    assert "Its results have been seen 1 time." in page


def formats(evaluation: Evaluation) -> set[str]:
    return {one.number_format for one in evaluation.candidates()}


def ticked_weights(page: str) -> list[str]:
    return re.findall(r'name="weights" value="([^"]+)"[^>]* checked', page)


def test_8_bits_can_be_chosen_where_they_help(as_editor, rounding_helps, url):
    page = as_editor.get(url("page")).content.decode()
    assert "How it is computed" in page
    assert ticked_weights(page) == ["as-they-are"]
    as_editor.post(url("start"), TICKED | {"instructions": "Sort.", "weights": "int8"})
    evaluation = Evaluation.objects.get()
    assert len(evaluation.candidates()) == 3
    assert formats(evaluation) == {"int8"}


def test_8_bits_are_not_the_default(as_editor, rounding_helps, url):
    as_editor.post(url("start"))
    assert formats(Evaluation.objects.get()) == {""}


@pytest.mark.parametrize("weights", ["as-they-are", "int8"])
def test_the_next_test_is_computed_as_the_one_before(
    as_editor, rounding_helps, goal, owner, url, weights
):
    as_editor.post(url("start"), TICKED | {"weights": weights})
    first = Evaluation.objects.get()
    journey.answer_all(first, journey.tuned_is_right)
    journey.finish(first)
    journey.trained(goal, owner, weights="another")
    page = as_editor.get(url("page") + "?new").content.decode()
    assert ticked_weights(page) == [weights]
    as_editor.post(url("start"))  # a button on another page
    # Base and prompt are those of the first test, which has the format in which it was computed.
    wanted = {"int8"} if weights == "int8" else {"", "fp32"}
    assert formats(Evaluation.objects.first()) == wanted


def test_the_same_test_in_8_bits_is_another_test(as_editor, tested, rounding_helps, url):
    as_editor.post(url("start"), TICKED | {"weights": "int8"})
    assert not {one.pk for one in tested.candidates()} & {
        one.pk for one in Evaluation.objects.first().candidates()
    }


def test_a_format_that_does_not_exist_is_rejected(as_editor, rounding_helps, url):
    reply = as_editor.post(url("start"), TICKED | {"weights": "int3"})
    assert reply.status_code == 422
    assert not Evaluation.objects.exists()


@pytest.mark.parametrize("why", ["another kind", "no OpenVINO", "a card", "QLoRA"])
def test_8_bits_are_not_offered_where_they_do_not_help(
    as_editor, trained, rounding_helps, monkeypatch, url, why
):
    if why == "another kind":
        trained.base_model.shape = {"model_type": "qwen3"}
        trained.base_model.save()
    elif why == "no OpenVINO":
        monkeypatch.setattr(candidate_selection, "is_quick_in_8_bits", lambda: False)
    elif why == "a card":
        monkeypatch.setattr(candidate_selection, "some_have_a_card", lambda: True)
    else:
        trained.spec["tuning"] = "qlora"
        trained.save()
    assert "How it is computed" not in as_editor.get(url("page")).content.decode()
    as_editor.post(url("start"), TICKED | {"weights": "int8"})
    assert "int8" not in formats(Evaluation.objects.get())


def test_people_who_choose_can_test_in_8_bits_too(as_editor, goal, rounding_helps, url):
    goals.choose_measure(goal=goal, kind="choice", settings={})
    assert "How it is computed" in as_editor.get(url("page")).content.decode()
    as_editor.post(url("start"), {"from_page": "1", "weights": "int8"})
    assert formats(Evaluation.objects.get()) == {"int8"}


def test_only_editors_of_the_team_can_start(as_viewer, as_stranger, as_owner, trained, url):
    assert as_viewer.post(url("start")).status_code == 403
    assert as_stranger.post(url("start")).status_code == 404
    assert as_owner.get(url("start")).status_code == 405
    assert not Evaluation.objects.exists()
