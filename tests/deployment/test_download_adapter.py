"""Download of an adapter: everything that PEFT needs, and only the files that were trained."""

import io
import json
import zipfile

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient
from django.urls import reverse

from finetune_app.jobs.handlers import handler_for
from tests import journey
from tests.conftest import signed_in


@pytest.fixture
def trained(goal, owner):
    return journey.trained(journey.ready(goal, owner), owner)


@pytest.fixture
def url(goal):
    return lambda number=1: reverse("deployment:adapter", args=[goal.pk, number])


def unpack(reply) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(reply.streaming_content)))


def test_a_viewer_downloads_the_adapter(as_viewer, trained, url):
    journey.write(f"{trained.adapter_folder}/chat_template.jinja", "{{ messages }}")
    reply = as_viewer.get(url())
    assert reply["Content-Type"] == "application/zip"
    assert 'filename="sort-shop-emails-training-1.zip"' in reply["Content-Disposition"]
    packed = unpack(reply)
    top = "sort-shop-emails-training-1"
    assert f"{top}/adapter/adapter_model.safetensors" in packed.namelist()
    assert f"{top}/adapter/chat_template.jinja" in packed.namelist()
    assert packed.read(f"{top}/adapter/adapter_model.safetensors") == b"weights"
    readme = packed.read(f"{top}/README.md").decode()
    assert trained.adapter_sha256 in readme
    assert 'from_pretrained("org/tiny")' in readme


def test_the_file_is_read_as_it_is_sent(owner, trained, url):
    """Under ASGI Django reads the whole of a plain iterator into memory first."""
    client = AsyncClient()
    client.cookies = signed_in(owner).cookies
    reply = async_to_sync(client.get)(url())
    assert reply.is_async
    sent = async_to_sync(all_of)(reply)
    assert int(reply["Content-Length"]) == len(sent)
    assert zipfile.is_zipfile(io.BytesIO(sent))


async def all_of(reply) -> bytes:
    return b"".join([piece async for piece in reply])


def test_a_goal_name_in_another_script_gives_a_valid_file_name(as_viewer, goal, trained, url):
    goal.name = "メール"
    goal.save()
    assert 'filename="goal-training-1.zip"' in as_viewer.get(url())["Content-Disposition"]


def test_a_missing_file_gets_a_clear_error(as_viewer, trained, url, data_dir):
    (data_dir / trained.adapter_folder / "adapter_model.safetensors").unlink()
    reply = as_viewer.get(url())
    assert reply.status_code == 409
    assert "missing or has been changed" in reply.content.decode()


def test_a_changed_file_is_not_served(as_viewer, trained, url):
    journey.write(f"{trained.adapter_folder}/adapter_model.safetensors", "something else")
    assert as_viewer.get(url()).status_code == 409


def test_without_an_adapter_there_is_a_404(as_viewer, goal, owner, url):
    journey.ready(goal, owner)
    assert as_viewer.get(url()).status_code == 404
    page = as_viewer.get(reverse("deployment:page", args=[goal.pk])).content.decode()
    assert "Take it with you" not in page


def test_the_page_lists_the_adapters(as_viewer, goal, owner, trained, url):
    journey.trained(goal, owner, weights="second")
    page = as_viewer.get(reverse("deployment:page", args=[goal.pk])).content.decode()
    assert url(1) in page
    assert url(2) in page


def test_only_the_team_can_download(as_stranger, as_owner, goal, trained, url):
    assert as_stranger.get(url()).status_code == 404
    assert as_owner.get(url(2)).status_code == 404
    assert as_owner.post(url()).status_code == 405
    assert as_stranger.get(reverse("deployment:page", args=[goal.pk])).status_code == 404


def test_peft_loads_the_adapter(as_viewer, trained, url, tmp_path, data_dir):
    """A real training of a tiny model, downloaded, unpacked, and loaded as the README says."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from finetune_app.core.files import sha256_of
    from tests.worker.engine.tiny_models import make_base
    from tests.worker.training.recording_channel import RecordingChannel
    from worker.channel import Job
    from worker.training.loop import run

    base = make_base(tmp_path / "base", "llama")
    child = handler_for(trained.job).child_spec(trained.job)
    spec = child.spec | {"base_model": str(base), "epochs": 1, "number_format": "fp32"}
    folder = data_dir / trained.folder
    run(Job("training", folder, spec | {"max_new_tokens": 4}), RecordingChannel())
    trained.adapter_sha256 = sha256_of(folder / "adapter" / "adapter_model.safetensors")
    trained.save()

    unpack(as_viewer.get(url())).extractall(tmp_path)
    adapter = tmp_path / "sort-shop-emails-training-1" / "adapter"
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    messages = [{"role": "user", "content": "Hello"}]
    tokens = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    assert model.generate(**tokens, max_new_tokens=3).shape[1] > tokens["input_ids"].shape[1]
    assert json.loads((adapter / "finetune.json").read_text())
