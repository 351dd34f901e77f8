"""From the web's client through the engine process to vLLM's place, and what is left afterwards."""

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


def test_base_and_tuned_in_one_conversation(vllm, tmp_path, settings, monkeypatch):
    make_base(tmp_path / "base", "llama")
    make_adapter(tmp_path / "base", tmp_path / "adapter", 1)
    program = vllm()
    monkeypatch.setenv("VLLM", str(program.program))
    running = EngineServer(tmp_path)
    settings.ENGINE_SOCKET, settings.ENGINE_SECRET = running.socket, SECRET
    try:
        base, adapter = str(running.base), str(tmp_path / "adapter")
        assert asyncio.run(client.check_adapter(base, adapter, number_format="fp32")) == ""
        said = asyncio.run(
            chat_events(
                running.base, base_and_tuned(running), number_format="fp32", max_new_tokens=20
            )
        )
        assert text_of(said, "base") != text_of(said, "tuned") != ""
        state = asyncio.run(client.health())
        assert (state["engine"], state["why_not_vllm"]) == ("vllm", "")
        assert (tmp_path / "logs" / "vllm.log").exists()
        inside = psutil.Process(running.process.pid).children(recursive=True)
    finally:
        running.process.kill()
        running.process.wait()
    assert len(inside) >= 2
    _gone, alive = psutil.wait_procs(inside, timeout=20)
    assert not alive
