"""An adapter without effect is neither deployed nor served."""

import shutil

import openai
import pytest
from django.urls import reverse

from finetune_app.candidates import selection
from finetune_app.candidates import services as candidates
from finetune_app.deployment import adapter_check
from finetune_app.request_log.models import Request
from tests.conftest import signed_in
from tests.gateway.chat_requests import ask
from tests.worker.conftest import wait_for
from tests.worker.engine.adapter_files import modified_adapter, zero_lora_b


@pytest.fixture
def without_effect(live, engine_process, monkeypatch):
    """The tuned model's adapter is one of zeros."""
    folder = engine_process.data / "zero"
    if not folder.exists():
        modified_adapter(engine_process.data / "adapter", folder, zero_lora_b)
    use_adapter(live, engine_process, monkeypatch, "zero")
    return live


def use_adapter(live, engine_process, monkeypatch, adapter: str) -> None:
    training = live.current.candidate.training
    folders = {training.base_model.folder: "base", training.adapter_folder: adapter}
    for place in ("finetune_app.candidates.services", "finetune_app.gateway.model_lookup"):
        monkeypatch.setattr(
            f"{place}.engine_folder", lambda name: engine_process.data / folders[name]
        )


def test_the_api_refuses_an_adapter_without_effect(client, without_effect):
    for more in ({}, {"stream": True}):
        with pytest.raises(openai.InternalServerError, match="changes nothing") as refused:
            ask(client, **more)
        assert refused.value.status_code == 503
        assert refused.value.code == "model_failed"
    assert ask(client, model="starter").choices[0].message.content
    wait_for(lambda: Request.objects.count() == 3, seconds=10)
    assert [row.error for row in Request.objects.order_by("pk")] == ["model_failed"] * 2 + [""]


def test_an_adapter_without_effect_cannot_go_live(without_effect, owner, monkeypatch):
    monkeypatch.setattr(candidates, "require_adapter", lambda candidate: None)
    without_effect.releases.all().delete()
    tuned = next(
        one for one in selection.candidate_options(without_effect.goal) if one.kind == "tuned"
    )
    url = reverse("deployment:go_live", kwargs={"goal_id": without_effect.goal_id})
    reply = signed_in(owner).post(url, {"candidate": tuned.key})
    assert reply.status_code == 400
    assert "changes nothing" in reply.content.decode()
    assert not without_effect.releases.exists()


def test_an_adapter_with_effect_goes_live(live, owner, monkeypatch):
    adapter_check.require_effect(live.current.candidate)
    monkeypatch.setattr(candidates, "require_adapter", lambda candidate: None)
    live.releases.all().delete()
    tuned = next(one for one in selection.candidate_options(live.goal) if one.kind == "tuned")
    url = reverse("deployment:go_live", kwargs={"goal_id": live.goal_id})
    assert signed_in(owner).post(url, {"candidate": tuned.key}).status_code == 302
    assert live.releases.count() == 1


def test_a_damaged_adapter_cannot_go_live(client, live, engine_process, monkeypatch):
    folder = engine_process.data / "short"
    shutil.copytree(engine_process.data / "adapter", folder, dirs_exist_ok=True)
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    use_adapter(live, engine_process, monkeypatch, "short")
    with pytest.raises(openai.InternalServerError, match="damaged") as refused:
        ask(client)
    assert refused.value.code == "model_failed"


def test_going_live_does_not_wait_forever_for_a_busy_engine(without_effect, monkeypatch):
    monkeypatch.setattr(adapter_check, "TIMEOUT_SECONDS", 0.0)
    adapter_check.require_effect(without_effect.current.candidate)


def test_going_live_works_while_the_engine_is_unavailable(live, settings):
    settings.ENGINE_SOCKET = "/nowhere/engine.sock"
    adapter_check.require_effect(live.current.candidate)
