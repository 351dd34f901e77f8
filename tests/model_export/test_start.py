"""Start an export: one job and one row per format, and only with prompts to check it."""

import re

import pytest

from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Example
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import State
from finetune_app.model_export import presenters, services
from finetune_app.model_export.models import ExportFormat, ModelExport
from tests import journey


def post(client, url, **fields):
    return client.post(url(), {"training": 1, "format": "gguf-q8_0"} | fields)


def test_editor_starts_export_and_it_is_queued(as_editor, trained, url):
    reply = post(as_editor, url)
    assert reply.status_code == 302
    export = ModelExport.objects.get()
    assert export.training == trained
    assert (export.job.kind, export.job.state) == ("export", State.QUEUED)
    assert export.job.is_heavy  # it holds a whole model in memory
    page = as_editor.get(url()).content.decode()
    assert "About to start" in page
    assert "every 2s" in page


def test_of_many_trainings_the_newest_show_their_formats_and_the_others_a_link(
    as_editor, goal, owner, trained, url, export, monkeypatch
):
    monkeypatch.setattr(presenters, "MAX_SHOWN", 1)
    for name in ("second", "third"):
        journey.trained(goal, owner, weights=name)
    page = as_editor.get(url()).content.decode()
    assert set(re.findall(r'name="training" value="(\d+)"', page)) == {"1", "3"}
    assert f'href="{url()}?training=2"' in page
    asked = as_editor.get(f"{url()}?training=2").content.decode()
    assert "Training 2 of" in asked
    assert f'href="{url()}?training=3"' in asked
    assert as_editor.get(f"{url()}?training=x").status_code == 200


def test_after_an_order_its_training_is_shown(as_editor, goal, owner, trained, url):
    journey.trained(goal, owner, weights="second")
    assert post(as_editor, url).url == f"{url()}?training=1"


def test_start_twice_creates_one_export(as_editor, trained, url):
    post(as_editor, url)
    post(as_editor, url)
    assert ModelExport.objects.count() == 1


def test_start_finished_export_returns_it(finished, owner):
    again = services.start(training=finished.training, format=finished.format, by=owner)
    assert again.pk == finished.pk


def test_start_failed_export_replaces_it(export, owner, django_capture_on_commit_callbacks):
    journey.write(f"{export.folder}/left.zip", "incomplete")
    journey.set_state(export.job, State.FAILED)
    with django_capture_on_commit_callbacks(execute=True):
        again = services.start(training=export.training, format=export.format, by=owner)
    assert again.pk != export.pk
    assert ModelExport.objects.count() == 1
    assert not (journey.write("x", "x").parent / export.folder).exists()


def test_child_spec_has_validation_prompts_only(export):
    spec = handler_for(export.job).child_spec(export.job).spec
    assert (spec["container"], spec["number_format"]) == ("gguf", "q8_0")
    assert spec["name"] == "sort-shop-emails-training-1"
    prompts = {messages[-1]["content"] for messages in spec["prompts"]}
    rows = Example.objects.filter(prompt__in=prompts)
    assert prompts
    assert {row.split for row in rows} == {"validation"}


def test_start_without_validation_prompts_is_rejected(trained, owner):
    Example.objects.update(split="train")
    with pytest.raises(PlainError, match="practice"):
        services.start(training=trained, format="gguf-q8_0", by=owner)


def test_export_changed_adapter_is_rejected(export):
    journey.write(f"{export.training.adapter_folder}/adapter_model.safetensors", "another")
    with pytest.raises(PlainError, match="changed"):
        handler_for(export.job).child_spec(export.job)


def test_start_without_permission_or_with_invalid_input_is_rejected(
    as_viewer, as_stranger, as_editor, trained, url
):
    assert post(as_viewer, url).status_code == 403
    assert post(as_stranger, url).status_code == 404
    assert post(as_editor, url, format="pickle").status_code == 400
    assert post(as_editor, url, training=7).status_code == 404
    assert post(as_editor, url, training="x").status_code == 400
    assert as_editor.put(url()).status_code == 405
    assert not ModelExport.objects.exists()


def test_page_for_unsupported_architecture_offers_no_gguf(as_editor, trained, url):
    trained.base_model.architecture = "GemmaForCausalLM"
    trained.base_model.save()
    page = as_editor.get(url()).content.decode()
    assert "only from Llama, Mistral, Qwen2, Qwen3 and Gemma 3 models" in page
    assert 'value="gguf-q8_0"' not in page
    assert 'value="merged-bf16"' in page


def test_the_worker_learns_which_base_weights_the_adapter_belongs_to(goal, owner, export):
    assert not handler_for(export.job).child_spec(export.job).spec["in_4bit"]
    training = journey.qlora_trained(goal, owner)
    other = services.start(training=training, format="gguf-q8_0", by=owner)
    assert handler_for(other.job).child_spec(other.job).spec["in_4bit"]


@pytest.fixture
def full(goal, owner):
    """Step 4 completed with every weight trained."""
    training = journey.trained(journey.ready(goal, owner), owner)
    training.spec["tuning"] = "full"
    training.save(update_fields=["spec"])
    journey.write(f"{training.result_folder}/model.safetensors", "weights")
    return training


@pytest.mark.parametrize("format", ExportFormat.values)
def test_a_fully_tuned_model_is_exported_from_its_own_folder(full, owner, data_dir, format):
    export = services.start(training=full, format=format, by=owner)
    spec = handler_for(export.job).child_spec(export.job).spec
    assert (spec["base_model"], spec["adapter"]) == (str(data_dir / full.result_folder), None)
    assert "of which every weight was trained further" in spec["card"]["start"]
    assert "added to its weights" not in spec["card"]["start"]


def test_its_changed_file_is_not_exported(full, owner):
    export = services.start(training=full, format="merged-bf16", by=owner)
    journey.write(f"{full.result_folder}/model.safetensors", "others")
    with pytest.raises(PlainError, match="were changed since"):
        handler_for(export.job).child_spec(export.job)


@pytest.mark.parametrize("architecture", ["MistralForCausalLM", "Gemma3ForCausalLM", ""])
def test_page_offers_gguf_where_the_worker_writes_it(as_editor, trained, url, architecture):
    trained.base_model.architecture = architecture
    trained.base_model.save()
    assert 'value="gguf-q8_0"' in as_editor.get(url()).content.decode()
