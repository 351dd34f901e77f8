"""vLLM as a process: start, crash, restart, eviction, secrets, and no orphans."""

import os
import subprocess
import sys

import httpx
import psutil
import pytest

from tests.worker.engine.vllm.vllm_requests import ask, is_up, wait_until
from worker.engine.backend import BackendUnsupported
from worker.engine.requests import EngineFailed
from worker.engine.vllm import engine as engine_module
from worker.engine.vllm import server_process as process_module
from worker.engine.vllm import session_guard


def test_opening_waits_for_a_slow_start_and_reports_a_failed_one(vllm, base):
    with vllm("slow_start").open(base) as engine:
        assert engine.submit(ask(None)).result().tokens == 12
    with pytest.raises(BackendUnsupported, match="does not start"):
        vllm("fail_to_start").open(base)


def test_vllm_restarts_after_a_crash_and_checks_its_adapters_again(vllm, base, adapters):
    program = vllm("crash_once")
    with program.open(base) as engine:
        engine.check_adapter(adapters[0])
        with pytest.raises(EngineFailed, match="restarts by itself"):
            engine.submit(ask(adapters[0])).result()
        wait_until(lambda: not is_up(engine))
        wait_until(lambda: is_up(engine))
        assert engine.adapter_folders == []
        assert engine.submit(ask(adapters[0], require_effect=True)).result().tokens == 12
    assert len(program.recorded("started")) == len(program.recorded("loaded")) == 2


@pytest.mark.long
def test_vllm_is_given_up_after_repeated_failures(vllm, base, monkeypatch):
    monkeypatch.setattr(engine_module, "MAX_FAILURES", 1)
    with vllm("crash_always").open(base) as engine:
        for _ in range(2):
            wait_until(lambda: is_up(engine))
            with pytest.raises(EngineFailed):
                engine.submit(ask(None)).result()
            wait_until(lambda: engine.fatal_error or not engine._client)
        wait_until(lambda: engine.fatal_error)
        with pytest.raises(BackendUnsupported, match="again and again"):
            engine.prepare([ask(None)])


def test_cancelling_ends_vllms_work(vllm, base):
    program = vllm("slow_tokens")
    with program.open(base) as engine:
        handle = engine.submit(ask(None, max_new_tokens=500))
        next(iter(handle))
        handle.cancel()
        wait_until(lambda: program.recorded("aborted"))


def test_vllm_reports_how_long_a_request_waits_for_its_first_token(vllm, base):
    with vllm().open(base) as engine:
        fake = psutil.Process(engine._process._process.pid).children()[0]
        fake.suspend()
        waiting = engine.submit(ask(None))
        wait_until(lambda: engine.wait_seconds > 0.2)
        fake.resume()
        assert waiting.result().tokens == 12
        assert engine.wait_seconds == 0


def test_the_least_recently_used_adapters_are_evicted(vllm, base, adapters, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "MAX_ADAPTERS", 1)
    program = vllm()
    with program.open(base) as engine:
        for adapter in adapters:
            engine.check_adapter(adapter)
        wait_until(lambda: engine.adapter_folders == [str(adapters[1])])
        both = [engine.submit(ask(adapter)) for adapter in adapters]  # in use, so none is evicted
        assert all(one.result().tokens for one in both)
    assert len(program.recorded("unloaded")) >= 1


def test_vllm_requires_its_key(served):
    socket = served._process.socket
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://vllm"
    ) as stranger:
        assert stranger.get("/v1/models").status_code == 401
        assert stranger.post("/v1/load_lora_adapter", json={}).status_code == 401
    descendants = psutil.Process(served._process._process.pid).children(recursive=True)
    assert not [one for process in descendants for one in process.net_connections(kind="inet")]


def test_vllm_gets_none_of_our_secrets(monkeypatch):
    for name in (
        "SECRET_KEY",
        "DATABASE_URL",
        "FINETUNE_ENGINE_SECRET",
        "AWS_SECRET_ACCESS_KEY",
        "VLLM_API_KEY",
    ):
        monkeypatch.setenv(name, "ours")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    env = process_module.environment("its own")
    assert "ours" not in env.values()
    assert env["CUDA_VISIBLE_DEVICES"] == "1"
    assert env["VLLM_API_KEY"] == "its own"


def test_options_override_our_own(tmp_path):
    arguments = process_module.command(
        tmp_path / "vllm", tmp_path, "bf16", tmp_path / "s", ["--max-lora-rank", "128"]
    )
    assert arguments[-2:] == ["--max-lora-rank", "128"]
    assert "--trust-remote-code" not in arguments


def test_sigkill_of_the_engine_leaves_no_process(tmp_path):
    """The guard notices that its input has closed, and kills its session."""
    code = (
        "import subprocess, sys, time\n"
        f"command = [sys.executable, '-I', {session_guard.__file__!r}, 'sh', '-c',"
        f" 'sleep 601 & echo $! > {tmp_path}/inner; sleep 602']\n"
        "child = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
    )
    guard = psutil.Process(int(parent.stdout.readline()))
    wait_until(lambda: (tmp_path / "inner").exists() and (tmp_path / "inner").read_text().strip())
    inner = psutil.Process(int((tmp_path / "inner").read_text()))
    os.killpg(parent.pid, 9)
    parent.wait()
    psutil.wait_procs([guard, inner], timeout=20)
    assert not inner.is_running() or inner.status() == psutil.STATUS_ZOMBIE
