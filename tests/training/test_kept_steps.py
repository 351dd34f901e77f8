"""An earlier moment of a training, tested, deployed, exported and recorded as the best one is."""

import io
import zipfile
from pathlib import Path

import pytest
from django.urls import reverse

from finetune_app.candidates import services as candidates
from finetune_app.candidates.differences import differences
from finetune_app.candidates.models import Candidate
from finetune_app.core.errors import PlainError
from finetune_app.core.files import sha256_of
from finetune_app.deployment.models import Deployment
from finetune_app.evaluation.models import Evaluation
from finetune_app.jobs.handlers import handler_for
from finetune_app.model_export import model_card, presenters
from finetune_app.model_export.models import ModelExport
from finetune_app.training.models import Training
from tests import journey

HASH = "1c" * 32


@pytest.fixture
def trained(ready, owner) -> Training:
    """Measured at three steps: the last is the best, the first is kept, the second is not."""
    training = journey.trained(ready, owner)
    for step, score in ((30, 0.6), (60, 0.5), (90, 0.7)):
        training.points.create(
            step=step, validation_loss=1.0, validation_score=score, general_ability=1 - step / 1000
        )
    weights = journey.write(
        f"{training.folder_of_step(30)}/adapter_model.safetensors", "earlier weights"
    )
    journey.write(f"{training.folder_of_step(30)}/adapter_config.json", "{}")
    journey.write(f"{training.adapter_folder}/tokenizer.json", "{}")
    training.points.filter(step=30).update(adapter_sha256=sha256_of(weights))
    return training


@pytest.fixture
def page(trained, url) -> str:
    return url("detail", trained.number)


def post_test(client, training, **fields):
    address = reverse("evaluation:start", args=[training.goal_id])
    return client.post(address, {"training": training.pk, "step": 30} | fields)


def test_what_a_run_keeps_is_recorded_with_its_hash(waiting):
    waiting.points.create(step=30, validation_loss=1.0)
    journey.write(f"{waiting.adapter_folder}/adapter_model.safetensors", "weights")
    journey.end(waiting.job, adapter="adapter", kept_steps={"30": HASH})
    assert waiting.points.kept().get().adapter_sha256 == HASH


def test_the_general_ability_of_a_step_is_stored(waiting):
    event = {"event": "point", "step": 30, "general_ability": 0.97}
    handler_for(waiting.job).record(waiting.job, event)
    assert waiting.points.get().general_ability == 0.97


def test_the_page_lists_each_moment_and_offers_those_that_are_kept(as_editor, page):
    text = as_editor.get(page).content.decode()
    assert "97 %" in text  # of other text, after step 30
    assert "Other text: how well it still predicts everyday sentences" in " ".join(text.split())
    assert text.count("Test this moment") == 1
    assert 'name="step" value="30"' in " ".join(text.split())


def test_a_viewer_sees_the_list_without_a_button(as_viewer, page):
    text = as_viewer.get(page).content.decode()
    assert "97 %" in text
    assert "Test this moment" not in text


def test_moments_that_were_not_kept_are_explained(as_editor, trained, page):
    trained.job.result = {"kept_steps": {"30": HASH}}
    trained.job.save()
    assert "those that fit 2.0 GB together" in as_editor.get(page).content.decode()


def test_a_kept_moment_is_tested_beside_the_best_one(as_editor, trained):
    best = candidates.tuned_candidate(training=trained)
    post_test(as_editor, trained)
    ours = Evaluation.objects.get().ours
    assert (ours.step, ours.training) == (30, trained)
    assert ours.adapter_sha256 == trained.points.get(step=30).adapter_sha256
    assert ours.name == "Tuned, training 1, step 30"
    assert Evaluation.objects.get().job.title == "Test of training 1, step 30"
    assert Path(candidates.candidate_spec(ours)["adapter"]).name == "000030"
    assert candidates.tuned_candidate(training=trained) == best
    assert (best.step, best.adapter_sha256) == (None, trained.adapter_sha256)


def test_the_worker_gets_the_adapter_of_that_moment(as_editor, trained):
    post_test(as_editor, trained)
    job = Evaluation.objects.get().job
    _base, _prompt, tuned = sorted(
        handler_for(job).child_spec(job).spec["candidates"], key=lambda one: bool(one["adapter"])
    )
    assert tuned["adapter"].endswith("steps/000030")


def test_a_changed_file_of_that_moment_is_never_tested(trained):
    candidate = candidates.tuned_candidate(training=trained, step=30)
    candidates.require_adapter(candidate)
    journey.write(f"{trained.folder_of_step(30)}/adapter_model.safetensors", "other")
    with pytest.raises(PlainError, match="missing or were changed"):
        candidates.require_adapter(candidate)


@pytest.mark.parametrize("step", [60, 31, 90])
def test_a_moment_that_is_not_kept_is_refused(as_editor, trained, step):
    assert post_test(as_editor, trained, step=step).status_code == 404
    assert not Evaluation.objects.exists()


def test_while_another_test_runs_it_says_so(as_editor, trained, owner):
    journey.begun(trained, owner)
    reply = as_editor.post(
        reverse("evaluation:start", args=[trained.goal_id]),
        {"training": trained.pk, "step": 30},
        follow=True,
    )
    assert "Start yours after it" in reply.content.decode()
    assert Evaluation.objects.count() == 1


def test_only_editors_of_the_team_test_it(as_viewer, as_stranger, as_owner, trained):
    assert post_test(as_viewer, trained).status_code == 403
    assert post_test(as_stranger, trained).status_code == 404
    assert as_owner.get(reverse("evaluation:start", args=[trained.goal_id])).status_code == 405
    assert not Candidate.objects.exists()


def test_it_goes_live_once_it_has_been_chosen(as_editor, goal, trained):
    chosen = candidates.tuned_candidate(training=trained, step=30)
    deployment = reverse("deployment:page", args=[goal.pk])
    page = as_editor.get(deployment)
    assert page.context["suggested"] == "training-1"  # the best one is still the default
    assert "training 1, step 30" in page.content.decode()
    as_editor.post(
        reverse("deployment:go_live", args=[goal.pk]), {"candidate": f"step-{chosen.pk}"}
    )
    assert Deployment.objects.get().current.candidate == chosen


def test_its_export_is_its_own(as_editor, goal, trained):
    candidates.tuned_candidate(training=trained, step=30)
    names = [one.name for one in presenters.exports_of(goal)]
    assert names == ["Training 1", "Training 1, step 30"]
    address = reverse("model_export:page", args=[goal.pk])
    for step in ("", "30"):
        as_editor.post(address, {"training": 1, "step": step, "format": "gguf-q8_0"})
    best, step = ModelExport.objects.all()
    assert (best.step, step.step) == (None, 30)
    spec = handler_for(step.job).child_spec(step.job).spec
    assert spec["adapter"].endswith("steps/000030")
    assert spec["name"] == "sort-shop-emails-training-1-step-30"
    assert "training 1, step 30" in spec["card"]["start"]
    assert (
        as_editor.post(address, {"training": 1, "step": "60", "format": "gguf-f16"}).status_code
        == 404
    )


def test_its_card_names_the_step_and_its_own_test(as_editor, goal, trained, owner):
    trained.job.result = trained.job.result | {"best_step": 90, "steps": 90}
    trained.job.save()
    journey.evaluated(trained, owner)
    card = model_card.adapter_card(trained, 30)
    assert "training 1, step 30" in card
    assert "step 30 of 90. chosen by a person" in card
    assert trained.points.get(step=30).adapter_sha256 in card
    assert "Not tested yet" in card  # the best one was
    assert "Not tested yet" not in model_card.adapter_card(trained)
    address = reverse("model_export:card", args=[goal.pk, trained.number])
    assert "step 30" in as_editor.get(f"{address}?step=30").content.decode()
    assert as_editor.get(f"{address}?step=60").status_code == 404


def test_its_download_holds_its_weights_and_the_tokenizer(as_viewer, goal, trained):
    address = reverse("deployment:adapter", args=[goal.pk, trained.number])
    reply = as_viewer.get(f"{address}?step=30")
    packed = zipfile.ZipFile(io.BytesIO(b"".join(reply.streaming_content)))
    top = "sort-shop-emails-training-1-step-30"
    assert packed.read(f"{top}/adapter/adapter_model.safetensors") == b"earlier weights"
    assert f"{top}/adapter/tokenizer.json" in packed.namelist()


def test_the_history_tells_the_two_apart(trained):
    best = candidates.tuned_candidate(training=trained)
    earlier = candidates.tuned_candidate(training=trained, step=30)
    assert differences(best, earlier) == ["Training 1, step 30 instead of training 1"]
