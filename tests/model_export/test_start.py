"""Asking for a form: one job, one row, and only what can be checked."""

import pytest

from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Example
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import State
from finetune_app.model_export import services
from finetune_app.model_export.models import ModelExport
from tests import journey


def ask(client, url, **given):
    return client.post(url(), {"training": 1, "format": "gguf-q8_0"} | given)


def test_an_editor_asks_and_it_waits_for_a_worker(as_editor, trained, url):
    reply = ask(as_editor, url)
    assert reply.status_code == 302
    export = ModelExport.objects.get()
    assert export.training == trained
    assert (export.job.kind, export.job.state) == ("export", State.QUEUED)
    assert export.job.is_heavy  # it holds a whole model in memory
    page = as_editor.get(url()).content.decode()
    assert "number 1 in the queue" in page
    assert "every 2s" in page


def test_a_second_click_changes_nothing(as_editor, trained, url):
    ask(as_editor, url)
    ask(as_editor, url)
    assert ModelExport.objects.count() == 1


def test_what_is_there_is_not_made_again(made, owner):
    again = services.start(training=made.training, format=made.format, by=owner)
    assert again.pk == made.pk


def test_what_failed_begins_from_nothing(export, owner, django_capture_on_commit_callbacks):
    journey.write(f"{export.folder}/left.zip", "half")
    journey.set_state(export.job, State.FAILED)
    with django_capture_on_commit_callbacks(execute=True):
        again = services.start(training=export.training, format=export.format, by=owner)
    assert again.pk != export.pk
    assert ModelExport.objects.count() == 1
    assert not (journey.write("x", "x").parent / export.folder).exists()


def test_the_worker_gets_practice_prompts_and_never_the_test(export):
    spec = handler_for(export.job).child_spec(export.job).spec
    assert (spec["container"], spec["number_format"]) == ("gguf", "q8_0")
    assert spec["name"] == "sort-shop-emails-training-1"
    asked = {messages[-1]["content"] for messages in spec["prompts"]}
    rows = Example.objects.filter(prompt__in=asked)
    assert asked
    assert {row.split for row in rows} == {"validation"}


def test_without_a_prompt_to_check_with_it_is_not_begun(trained, owner):
    Example.objects.update(split="train")
    with pytest.raises(PlainError, match="practice"):
        services.start(training=trained, format="gguf-q8_0", by=owner)


def test_a_changed_adapter_is_not_exported(export):
    journey.write(f"{export.training.adapter_folder}/adapter_model.safetensors", "another")
    with pytest.raises(PlainError, match="changed"):
        handler_for(export.job).child_spec(export.job)


def test_a_viewer_a_stranger_and_nonsense(as_viewer, as_stranger, as_editor, trained, url):
    assert ask(as_viewer, url).status_code == 403
    assert ask(as_stranger, url).status_code == 404
    assert ask(as_editor, url, format="pickle").status_code == 400
    assert ask(as_editor, url, training=7).status_code == 404
    assert ask(as_editor, url, training="x").status_code == 400
    assert as_editor.put(url()).status_code == 405
    assert not ModelExport.objects.exists()


def test_a_model_of_another_architecture_says_why_there_is_no_gguf(as_editor, trained, url):
    trained.base_model.architecture = "GemmaForCausalLM"
    trained.base_model.save()
    page = as_editor.get(url()).content.decode()
    assert "only from Llama and Qwen2 models" in page
    assert 'value="gguf-q8_0"' not in page
    assert 'value="merged-bf16"' in page
