"""How much of the model changes: LoRA by itself, QLoRA and full fine-tuning where they fit."""

import re
from dataclasses import replace

import pytest
from django.utils import timezone
from django.utils.html import escape

from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.candidates import services as candidates
from finetune_app.core.errors import PlainError
from finetune_app.core.files import sha256_of
from finetune_app.core.machine import Machine
from finetune_app.deployment.adapter_archive import adapter_archive
from finetune_app.jobs import worker_machines
from finetune_app.jobs.models import WorkerMachine
from finetune_app.model_export.model_card import adapter_card
from finetune_app.training import services, tunings
from finetune_app.training.methods import start_of
from finetune_app.training.models import Training
from tests import journey

GB = 1024**3
ROOMY = Machine(8, 64 * GB, 60 * GB, 500 * GB, None)


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine on which everything fits; a function that replaces parts of it."""

    def use(**changed):
        found = replace(ROOMY, **changed)
        monkeypatch.setattr(tunings, "training_machine", lambda: found)

    use()
    monkeypatch.setattr(tunings, "find_spec", lambda name: object())
    return use


def launch_page(client, url):
    return client.get(url("page") + "?new").content.decode()


def started(client, url, **settings):
    client.post(url("start"), settings)
    return Training.objects.get()


def full_training(goal, owner):
    """Step 4 completed with all weights trained: a whole model is on disk."""
    training = services.start(goal=goal, user=owner, chosen={"tuning": "full"})
    journey.write(f"{training.result_folder}/model.safetensors", "every weight")
    journey.write(f"{training.result_folder}/config.json", "{}")
    journey.end(training.job, adapter=None, model="model", tokens=9000, seconds=30)
    training.refresh_from_db()
    return training


def test_each_way_says_how_much_memory_it_needs(as_editor, ready, url):
    page = launch_page(as_editor, url)
    needs = [float(one) for one in re.findall(r"About ([\d.]+) GB of memory", page)]
    assert len(needs) == 3
    assert min(needs) > 0


def test_lora_is_chosen_and_the_three_ways_are_offered(as_editor, ready, url):
    page = launch_page(as_editor, url)
    assert page.count('name="tuning"') == 3
    assert 'value="lora"\n' in page
    assert page.split('value="lora"')[1].split(">")[0].strip() == "checked"
    assert started(as_editor, url).spec["tuning"] == "lora"


def test_all_of_the_model_learns_at_a_tenth_of_the_rate(as_editor, ready, url):
    version = services.newest_version(ready)
    lora = services.automatic_for(version, BaseModelChoice.objects.get(goal=ready).base_model)
    shown = {name: lora.settings[name] for name in ("learning_rate", "rank", "epochs")}
    spec = started(as_editor, url, tuning="full", **shown).spec
    assert spec["tuning"] == "full"
    assert spec["learning_rate"] == pytest.approx(lora.settings["learning_rate"] / 10, rel=0.05)
    assert not {"rank", "alpha", "targets", "dropout"} & spec.keys()
    assert spec["replay_share"] == lora.settings["replay_share"]
    page = as_editor.get(url("detail", 1)).content.decode()
    assert "all of it (full fine-tuning)" in page
    assert "LoRA rank" not in page


def test_qlora_keeps_loras_settings(as_editor, ready, url):
    spec = started(as_editor, url, tuning="qlora").spec
    version = services.newest_version(ready)
    lora = services.automatic_for(version, BaseModelChoice.objects.get(goal=ready).base_model)
    assert spec["tuning"] == "qlora"
    assert {name: spec[name] for name in lora.settings} == lora.settings


def test_without_bitsandbytes_the_page_says_why(as_editor, ready, url, monkeypatch):
    monkeypatch.setattr(tunings, "find_spec", lambda name: None)
    page = launch_page(as_editor, url)
    assert "needs the package bitsandbytes" in page
    assert 'value="qlora"' not in page
    reply = as_editor.post(url("start"), {"tuning": "qlora"})
    assert reply.status_code == 400
    assert not Training.objects.exists()


def test_what_does_not_fit_in_the_memory_is_not_offered(as_editor, ready, url, machine):
    machine(free_bytes=GB)
    page = launch_page(as_editor, url)
    assert 'value="full"' not in page
    assert "and 1.0 GB are free" in page
    assert as_editor.post(url("start"), {"tuning": "full"}).status_code == 400
    assert not Training.objects.exists()


def test_the_machine_that_trains_decides_what_fits(as_editor, ready, url, monkeypatch):
    """Another machine than the web's has reported a minute ago."""
    monkeypatch.setattr(tunings, "training_machine", worker_machines.training_machine)
    small = replace(ROOMY, memory_bytes=GB, free_bytes=GB // 10)
    WorkerMachine.objects.create(
        host="elsewhere", machine=small.as_json(), reported_at=timezone.now()
    )
    page = launch_page(as_editor, url)
    assert 'value="full"' not in page
    assert "and 0.1 GB are free" in page


def test_qlora_is_not_offered_where_the_model_could_not_answer(
    as_editor, goal, owner, url, machine
):
    """4 bits save memory in training only: it answers in 16 bits."""
    model = journey.install()
    model.parameters, model.slug = 7e9, "own-large"
    model.save()
    journey.ready(goal, owner, model)
    machine(free_bytes=12 * GB)
    assert "It would learn here, but not answer" in launch_page(as_editor, url)
    assert as_editor.post(url("start"), {"tuning": "qlora"}).status_code == 400
    machine(free_bytes=14 * GB)
    assert 'value="qlora"' in launch_page(as_editor, url)


def test_a_large_model_is_never_changed_as_a_whole(as_editor, goal, owner, url):
    model = journey.install()
    model.parameters, model.slug = 3e9, "own-large"
    model.save()
    journey.ready(goal, owner, model)
    page = launch_page(as_editor, url)
    assert 'value="full"' not in page
    assert "3.0 billion numbers" in page


def test_an_unknown_way_is_refused(as_editor, ready, url):
    assert as_editor.post(url("start"), {"tuning": "prefix"}).status_code == 422
    with pytest.raises(PlainError):
        services.start(goal=ready, user=None, chosen={"tuning": "prefix"})


def test_a_rank_without_an_adapter_is_a_mistake_and_not_ignored(as_editor, ready, url):
    reply = as_editor.post(url("start"), {"tuning": "full", "rank": 64})
    assert reply.status_code == 422
    assert "There is no adapter where all of the model changes" in reply.content.decode()
    assert not Training.objects.exists()


def test_a_viewer_sees_the_ways_and_cannot_start_one(as_viewer, ready, url):
    assert 'value="full"' in launch_page(as_viewer, url)
    assert as_viewer.post(url("start"), {"tuning": "full"}).status_code in (403, 404)


def test_a_fully_tuned_candidate_is_the_runs_own_model(ready, owner, data_dir):
    training = full_training(ready, owner)
    folder = data_dir / f"runs/{training.pk}/model"
    assert training.adapter_sha256 == sha256_of(folder / "model.safetensors")
    candidate = candidates.tuned_candidate(training=training)
    spec = candidates.candidate_spec(candidate)
    assert (spec["base_model"], spec["adapter"]) == (str(folder), None)
    assert spec["tuned_from"] == str(data_dir / training.base_model.folder)
    candidates.require_adapter(candidate)
    (folder / "model.safetensors").write_text("other weights")
    with pytest.raises(PlainError, match="were changed since"):
        candidates.require_adapter(candidate)


def test_a_fully_tuned_model_has_no_adapter_to_take(ready, owner):
    training = full_training(ready, owner)
    with pytest.raises(PlainError, match="there is no adapter"):
        adapter_archive(training)
    card = adapter_card(training)
    assert "every weight was trained" in card
    assert "Model, sha256" in card
    assert "PeftModel" not in card


def test_preference_tuning_goes_on_from_adapters_alone(ready, owner):
    adapter = journey.trained(ready, owner)
    full_training(ready, owner)
    assert start_of(ready, adapter.base_model, "dpo") == adapter


def test_the_reason_is_a_sentence_on_the_page(as_editor, ready, url, machine):
    machine(free_bytes=GB // 10)
    options = tunings.tuning_options(
        BaseModelChoice.objects.get(goal=ready).base_model,
        services.newest_version(ready),
        "supervised",
    )
    page = launch_page(as_editor, url)
    assert [bool(one.why_not) for one in options] == [False, True, True]
    assert all(escape(one.why_not) in page for one in options)
