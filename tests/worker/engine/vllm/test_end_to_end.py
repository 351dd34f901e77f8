"""From the web's client through the engine to vLLM; killing the engine leaves no process."""

import asyncio

import psutil
import pytest

from finetune_app.core import engine_client as client
from tests.worker.engine.engine_server import (
    SECRET,
    EngineServer,
    base_and_tuned,
    chat_events,
    text_of,
)
from tests.worker.engine.tiny_models import make_adapter, make_base

pytestmark = pytest.mark.long  # two processes that import torch, one of them with PEFT


def test_base_and_tuned_model_answer_through_vllm(vllm, tmp_path, settings, monkeypatch):
    make_base(tmp_path / "base", "llama")
    make_adapter(tmp_path / "base", tmp_path / "adapter", 1)
    program = vllm()
    monkeypatch.setenv("VLLM", str(program.program))
    running = EngineServer(tmp_path)
    settings.ENGINE_SOCKET, settings.ENGINE_SECRET = running.socket, SECRET
    try:
        base, adapter = str(running.base), str(tmp_path / "adapter")
        assert asyncio.run(client.check_adapter(base, adapter, number_format="fp32")) == ""
        events = asyncio.run(
            chat_events(
                running.base, base_and_tuned(running), number_format="fp32", max_new_tokens=20
            )
        )
        assert text_of(events, "base") != text_of(events, "tuned") != ""
        state = asyncio.run(client.health())
        assert (state["engine"], state["why_not_vllm"]) == ("vllm", "")
        assert (tmp_path / "logs" / "vllm.log").exists()
        descendants = psutil.Process(running.process.pid).children(recursive=True)
    finally:
        running.process.kill()
        running.process.wait()
    assert len(descendants) >= 2
    _gone, alive = psutil.wait_procs(descendants, timeout=20)
    assert not alive
