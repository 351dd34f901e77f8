"""The manager takes vLLM where there is one, and our own engine for whatever that cannot do."""

import asyncio
import os

import pytest

from finetune_app.core import vllm_installation
from finetune_app.core.machine import Card
from tests.worker.engine.vllm.vllm_requests import ask
from worker.engine.adapters import BadAdapter
from worker.engine.backend_selector import BackendSelector
from worker.engine.engine import Engine
from worker.engine.model_manager import ModelManager
from worker.engine.vllm.engine import VllmEngine


@pytest.fixture
def manager(base, tmp_path):
    made = []

    def make(program) -> ModelManager:
        selector = BackendSelector(
            vllm_installation.VllmInstallation(program), tmp_path / "vllm.log"
        )
        made.append(ModelManager(base.parent, selector=selector))
        return made[-1]

    yield make
    for manager in made:
        asyncio.run(manager.unload())


@pytest.fixture(autouse=True)
def _peft_in_this_process(monkeypatch):
    from worker.engine.vllm import adapter_check
    from worker.engine.vllm.peft_reference import compute

    monkeypatch.setattr(adapter_check, "compute_in_subprocess", compute)


def kind_that_serves(manager, base, request) -> type:
    async def visit() -> type:
        async with manager.acquire(
            base, "fp32", 1, lambda engine: engine.prepare([request])
        ) as engine:
            return type(engine)

    return asyncio.run(visit())


def test_vllm_serves_and_health_says_so(manager, vllm, base, adapters):
    home = manager(vllm().program)
    assert kind_that_serves(home, base, ask(adapters[0])) is VllmEngine
    state = home.health()
    assert (state["engine"], state["why_not_vllm"]) == ("vllm", "")
    assert state["adapters"] == [str(adapters[0])]
    assert state["number_format"] == "fp32"
    assert state["memory_bytes"] > home.backend.memory_bytes > 10_000_000


@pytest.mark.parametrize(
    ("fault", "why"), [("base", "answers as its base"), ("dies", "does not start")]
)
def test_our_own_engine_serves_what_vllm_cannot(manager, vllm, base, adapters, fault, why):
    program = vllm(fault)
    home = manager(program.program)
    assert kind_that_serves(home, base, ask(adapters[0])) is Engine
    assert home.health()["engine"] == "own"
    assert why in home.health()["why_not_vllm"]
    asyncio.run(home.unload())
    assert kind_that_serves(home, base, ask(None)) is Engine  # not tried again
    assert len(program.noted("started")) == 1


def test_a_broken_adapter_does_not_change_the_backend(manager, vllm, base, tmp_path):
    home = manager(vllm().program)
    (tmp_path / "empty").mkdir()

    async def check() -> None:
        ready = lambda engine: engine.check_adapter(tmp_path / "empty")  # noqa: E731
        async with home.acquire(base, "fp32", 1, ready):
            raise AssertionError("nobody may be let in")

    with pytest.raises(BadAdapter):
        asyncio.run(check())
    assert kind_that_serves(home, base, ask(None)) is VllmEngine


def test_which_vllm_is_found(tmp_path, monkeypatch):
    program = tmp_path / "vllm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    monkeypatch.setattr(vllm_installation, "graphics_card", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    monkeypatch.delenv("VLLM", raising=False)
    assert vllm_installation.find_vllm() == vllm_installation.VllmInstallation(
        None
    )  # no card, and nobody asked for it
    monkeypatch.setattr(vllm_installation, "graphics_card", lambda: Card("a card", 2**30))
    assert vllm_installation.find_vllm().program == program
    monkeypatch.setenv("VLLM", "off")
    assert "switched off" in vllm_installation.find_vllm().why_not
    monkeypatch.setenv("VLLM", str(tmp_path / "nowhere"))
    assert "no program" in vllm_installation.find_vllm().why_not
    monkeypatch.setattr(vllm_installation, "graphics_card", lambda: None)
    monkeypatch.setenv("VLLM", str(program))
    monkeypatch.setenv("VLLM_OPTIONS", "--tensor-parallel-size 2")
    assert vllm_installation.find_vllm() == vllm_installation.VllmInstallation(
        program, options=("--tensor-parallel-size", "2")
    )
    monkeypatch.setenv("VLLM_OPTIONS", "'")
    assert "cannot be read" in vllm_installation.find_vllm().why_not
    program.unlink()
    monkeypatch.delenv("VLLM")
    monkeypatch.setattr(vllm_installation, "graphics_card", lambda: Card("a card", 2**30))
    assert "not installed" in vllm_installation.find_vllm().why_not
