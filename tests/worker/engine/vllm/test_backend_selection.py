"""vLLM serves where it is installed; our own engine serves what vLLM cannot."""

import asyncio
import os

import pytest

from finetune_app.core import vllm_installation
from finetune_app.core.machine import GraphicsCard
from tests.worker.engine.vllm.vllm_requests import ask
from worker.engine.adapters import BadAdapter
from worker.engine.backend_selector import BackendSelector
from worker.engine.engine import Engine
from worker.engine.model_manager import ModelManager
from worker.engine.vllm.engine import VllmEngine


@pytest.fixture
def manager(base, tmp_path):
    managers = []

    def make(program) -> ModelManager:
        selector = BackendSelector(
            vllm_installation.VllmInstallation(program), tmp_path / "vllm.log"
        )
        managers.append(ModelManager(base.parent, selector=selector))
        return managers[-1]

    yield make
    for manager in managers:
        asyncio.run(manager.unload())


@pytest.fixture(autouse=True)
def _peft_in_this_process(monkeypatch):
    from worker.engine.vllm import adapter_check
    from worker.engine.vllm.peft_reference import compute

    monkeypatch.setattr(adapter_check, "compute_in_subprocess", compute)


def serving_backend(manager, base, request) -> type:
    async def acquire() -> type:
        async with manager.acquire(
            base, "fp32", 1, lambda engine: engine.prepare([request])
        ) as engine:
            return type(engine)

    return asyncio.run(acquire())


def test_vllm_serves_and_health_says_so(manager, vllm, base, adapters):
    model_manager = manager(vllm().program)
    assert serving_backend(model_manager, base, ask(adapters[0])) is VllmEngine
    state = model_manager.health()
    assert (state["engine"], state["why_not_vllm"]) == ("vllm", "")
    assert state["adapters"] == [str(adapters[0])]
    assert state["number_format"] == "fp32"
    [model] = model_manager._models
    assert state["memory_bytes"] > model.backend.memory_bytes > 10_000_000


@pytest.mark.parametrize(
    ("fault", "why"),
    [("ignore_adapter", "answers as its base"), ("fail_to_start", "does not start")],
)
def test_our_own_engine_serves_what_vllm_cannot(manager, vllm, base, adapters, fault, why):
    program = vllm(fault)
    model_manager = manager(program.program)
    assert serving_backend(model_manager, base, ask(adapters[0])) is Engine
    assert model_manager.health()["engine"] == "own"
    assert why in model_manager.health()["why_not_vllm"]
    asyncio.run(model_manager.unload())
    assert serving_backend(model_manager, base, ask(None)) is Engine  # not tried again
    assert len(program.recorded("started")) == 1


def test_a_broken_adapter_does_not_change_the_backend(manager, vllm, base, tmp_path):
    model_manager = manager(vllm().program)
    (tmp_path / "empty").mkdir()

    async def check() -> None:
        prepare = lambda engine: engine.check_adapter(tmp_path / "empty")  # noqa: E731
        async with model_manager.acquire(base, "fp32", 1, prepare):
            raise AssertionError("the adapter passed its check")

    with pytest.raises(BadAdapter):
        asyncio.run(check())
    assert serving_backend(model_manager, base, ask(None)) is VllmEngine


def test_find_vllm_follows_the_card_the_path_and_the_settings(tmp_path, monkeypatch):
    program = tmp_path / "vllm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    card = GraphicsCard("a card", 2**30, 2**30)
    monkeypatch.setattr(vllm_installation, "find_graphics_card", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    monkeypatch.delenv("VLLM", raising=False)
    # Without a card, vLLM is used only where the environment asks for it.
    assert vllm_installation.find_vllm() == vllm_installation.VllmInstallation(None)
    monkeypatch.setattr(vllm_installation, "find_graphics_card", lambda: card)
    assert vllm_installation.find_vllm().program == program
    monkeypatch.setenv("VLLM", "off")
    assert "switched off" in vllm_installation.find_vllm().why_not
    monkeypatch.setenv("VLLM", str(tmp_path / "nowhere"))
    assert "no program" in vllm_installation.find_vllm().why_not
    monkeypatch.setattr(vllm_installation, "find_graphics_card", lambda: None)
    monkeypatch.setenv("VLLM", str(program))
    monkeypatch.setenv("VLLM_OPTIONS", "--tensor-parallel-size 2")
    assert vllm_installation.find_vllm() == vllm_installation.VllmInstallation(
        program, options=("--tensor-parallel-size", "2")
    )
    monkeypatch.setenv("VLLM_OPTIONS", "'")
    assert "cannot be read" in vllm_installation.find_vllm().why_not
    program.unlink()
    monkeypatch.delenv("VLLM")
    monkeypatch.setattr(vllm_installation, "find_graphics_card", lambda: card)
    assert "not installed" in vllm_installation.find_vllm().why_not
