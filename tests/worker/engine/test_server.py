"""The engine process, through the web application's client."""

import asyncio
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from django.conf import settings as django_settings

from finetune_app.core import engine_client as client
from finetune_app.core.engine_client import EngineUnavailable
from tests.worker.engine.engine_server import (
    MESSAGES,
    SECRET,
    EngineServer,
    base_and_tuned,
    chat_events,
    text_of,
)
from tests.worker.engine.tiny_models import make_adapter, make_base


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    make_base(data / "base", "llama")
    make_base(data / "other", "qwen2")
    make_adapter(data / "base", data / "adapter", 1)
    return data


@pytest.fixture(scope="module")
def server(folder):
    running = EngineServer(folder, "--queue-limit", "6")
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture
def engine(server, settings):
    settings.ENGINE_SOCKET, settings.ENGINE_SECRET = server.socket, SECRET
    return server


def test_two_candidates_stream_side_by_side(engine):
    events = asyncio.run(
        chat_events(engine.base, base_and_tuned(engine), number_format="fp32", max_new_tokens=30)
    )
    order = [event["candidate"] for event in events]
    assert order.index("tuned") < len(order) - 1 - order[::-1].index("base")  # interleaved
    ends = [event for event in events if event.get("done")]
    assert {end["candidate"] for end in ends} == {"base", "tuned"}
    assert all(end["tokens"] > 0 and end["finish_reason"] in {"stop", "length"} for end in ends)
    assert text_of(events, "base") != text_of(events, "tuned")
    state = asyncio.run(client.health())
    assert state["base_model"] == str(engine.base)
    assert state["number_format"] == "fp32"
    assert state["queue"] == 0


def test_a_base_model_rounded_for_qlora_is_another_one(engine):
    pytest.importorskip("bitsandbytes")
    request = [{"candidate": "base", "adapter": None, "messages": MESSAGES}]
    answers, formats = [], []
    for number_format in ("bf16", "nf4", "bf16", "auto"):
        events = asyncio.run(
            chat_events(engine.base, request, number_format=number_format, max_new_tokens=40)
        )
        answers.append(text_of(events, "base"))
        formats.append(asyncio.run(client.health())["number_format"])
    assert formats[:3] == ["bf16", "nf4", "bf16"]
    assert formats[3] != "nf4"
    assert answers[0] == answers[2] != answers[1]


def test_another_base_model_waits_until_the_first_is_unused(engine):
    async def both() -> list[list[dict]]:
        request = [{"candidate": "base", "adapter": None, "messages": MESSAGES}]
        other = engine.data / "other"
        return await asyncio.gather(
            *(
                chat_events(base, request, max_new_tokens=40, number_format="fp32")
                for base in (engine.base, other, engine.base)
            )
        )

    first, second, third = asyncio.run(both())
    assert text_of(first, "base") == text_of(third, "base") != text_of(second, "base")


def test_a_token_view_marks_learned_tokens(engine):
    example = [*MESSAGES, {"role": "assistant", "content": "Good day"}]
    pieces = asyncio.run(client.token_view(str(engine.base), example))
    assert "".join(p["text"] for p in pieces if p["learned"]).startswith("Good day")
    assert "Hello there" in "".join(p["text"] for p in pieces if not p["learned"])
    assert any(p["special"] for p in pieces)
    assert "Good" not in "".join(p["text"] for p in pieces if p["special"])
    short = asyncio.run(client.token_view(str(engine.base), example, max_tokens=15))
    assert any(p["cut"] for p in short)


def test_requests_without_the_secret_are_rejected(engine):
    assert engine.get("/health", secret="guess").status_code == 403
    assert engine.get("/health").status_code == 200
    assert engine.socket.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "folder_name", ["/etc", "../base", ".", "missing", "{data}/../", "{data}/missing"]
)
def test_only_folders_of_the_data_folder_are_read(engine, folder_name):
    named = folder_name.format(data=engine.data)
    with pytest.raises(EngineUnavailable, match="data folder"):
        asyncio.run(chat_events(named, base_and_tuned(engine)))
    adapter = [{"candidate": "x", "adapter": named, "messages": MESSAGES}]
    with pytest.raises(EngineUnavailable, match="data folder"):
        asyncio.run(chat_events(engine.base, adapter))


def test_a_full_queue_gives_retry_after(engine):
    many = [{"candidate": str(i), "adapter": None, "messages": MESSAGES} for i in range(7)]
    with pytest.raises(EngineUnavailable, match="busy") as caught:
        asyncio.run(chat_events(engine.base, many))
    assert caught.value.retry_after == 5


def test_disconnecting_cancels_the_answers(engine):
    async def disconnect() -> None:
        request = [{"candidate": "base", "adapter": None, "messages": MESSAGES}]
        events = client.stream_chat(str(engine.base), request, max_new_tokens=4000)
        async for _event in events:
            break
        await events.aclose()
        for _ in range(100):
            if (await client.health())["queue"] == 0:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the answer is still being generated")

    asyncio.run(disconnect())


def test_each_event_has_the_tokens_so_far(engine):
    events = asyncio.run(chat_events(engine.base, base_and_tuned(engine), max_new_tokens=30))
    for name in ("base", "tuned"):
        mine = [event for event in events if event["candidate"] == name]
        counts = [event["tokens"] for event in mine]
        assert 1 <= counts[0] <= counts[-2] <= counts[-1]
        assert counts == sorted(counts)
        assert {event["prompt_tokens"] for event in mine} == {mine[-1]["prompt_tokens"]}


def test_a_failing_candidate_does_not_stop_the_other(engine):
    mixed = base_and_tuned(engine)
    mixed[1]["adapter"] = str(engine.data / "other")  # a folder, but no adapter
    events = asyncio.run(chat_events(engine.base, mixed, max_new_tokens=5))
    ends = {event["candidate"]: event for event in events if event.get("done")}
    assert "has no adapter_model.safetensors" in ends["tuned"]["error"]
    assert ends["base"]["tokens"] > 0


def test_an_unreachable_engine_is_reported(settings, tmp_path):
    settings.ENGINE_SOCKET = tmp_path / "nobody.sock"
    with pytest.raises(EngineUnavailable, match="restarts by itself"):
        asyncio.run(client.health())


def test_no_certificates_are_read_for_a_request(engine, monkeypatch):
    """They would take 20 ms of every request."""
    monkeypatch.setattr(
        ssl.SSLContext, "load_verify_locations", lambda *_, **__: pytest.fail("certificates")
    )
    assert asyncio.run(client.health())["queue"] == 0
    assert client.health_now(5)["queue"] == 0


def test_memory_is_small_before_the_first_model_and_after_unloading(folder, settings):
    running = EngineServer(folder, "--idle-unload", "0.5")
    try:
        settings.ENGINE_SOCKET, settings.ENGINE_SECRET = running.socket, SECRET
        assert asyncio.run(client.health())["memory_bytes"] < 200_000_000
        request = [{"candidate": "base", "adapter": None, "messages": MESSAGES}]
        asyncio.run(chat_events(running.base, request, max_new_tokens=5))
        running.wait_until(lambda: asyncio.run(client.health())["base_model"] is None)
    finally:
        running.process.kill()
        running.process.wait()


def test_sigterm_ends_the_server_during_an_answer(folder, settings):
    running = EngineServer(folder)
    settings.ENGINE_SOCKET, settings.ENGINE_SECRET = running.socket, SECRET

    async def answer_until_sigterm() -> None:
        request = [{"candidate": "base", "adapter": None, "messages": MESSAGES}]
        async for _event in client.stream_chat(str(running.base), request, max_new_tokens=4000):
            running.process.send_signal(signal.SIGTERM)

    try:
        with pytest.raises(EngineUnavailable):
            asyncio.run(answer_until_sigterm())
        assert running.process.wait(timeout=10) in {0, -signal.SIGTERM}
    finally:
        running.process.kill()


def test_the_server_ends_with_its_parent(folder):
    """Also if the parent is killed and cannot stop the engine."""
    socket = Path(tempfile.mkdtemp()) / "engine.sock"
    code = (
        "import subprocess, sys, time\n"
        f"command = '-m', 'worker.engine.server', '--socket', {str(socket)!r}\n"
        "print(subprocess.Popen([sys.executable, *command]).pid, flush=True)\n"
        "time.sleep(60)"
    )
    env = {"FINETUNE_ENGINE_SECRET": SECRET, "FINETUNE_DATA_DIR": str(folder)}
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=django_settings.BASE_DIR,
        env=os.environ | env,
    )
    child = psutil.Process(int(parent.stdout.readline()))
    deadline = time.monotonic() + 30
    while not socket.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    child.wait(timeout=10)
