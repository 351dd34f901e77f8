"""/livez, /readyz and `manage.py healthy`: whether a process lives and what it misses."""

import asyncio
import os
import threading
import time
from collections.abc import Callable

import httpx
import pytest
import redis
from django.core.management import CommandError, call_command
from django.db.migrations.recorder import MigrationRecorder

from finetune_app.asgi import application
from finetune_app.core import alive, engine_client, health

SECRET = "the password of the database"


def ask(path: str, method: str = "GET", host: str = "10.0.0.7:8000") -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
            return await http.request(method, path)

    return asyncio.run(send())


def broken() -> None:
    raise OSError(SECRET)


@pytest.fixture
def parts(monkeypatch) -> dict[str, Callable[[], None]]:
    """What is asked; a test may replace some. Each test asks anew."""
    asked = dict.fromkeys(health.PARTS, lambda: None)
    monkeypatch.setattr(health, "PARTS", asked)
    monkeypatch.setattr(health, "REUSED_SECONDS", -1.0)
    monkeypatch.setattr(health, "_asked", {})
    return asked


# ---- The web ----


def test_live_answers_whatever_is_down(parts):
    parts["database"] = parts["broker"] = broken
    response = ask("/livez")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_ready_is_200_when_all_parts_answer(parts):
    response = ask("/readyz")
    assert response.status_code == 200
    assert set(response.json().values()) == {"ok"}
    assert response.headers["Cache-Control"] == "no-store"


def test_ready_is_503_and_names_the_part_that_is_down(parts, caplog):
    parts["broker"] = broken
    response = ask("/readyz")
    assert response.status_code == 503
    down = {"status": "down", "broker": "down"}
    assert response.json() == dict.fromkeys(health.PARTS, "ok") | down
    assert SECRET not in response.text + caplog.text


def test_ready_says_the_reason_where_it_is_known(parts):
    def newer() -> None:
        raise health.NotReady("A newer version changed the database.")

    parts["migrations"] = newer
    told = ask("/readyz").json()
    assert told["migrations"] == "down"
    assert told["reason"] == "A newer version changed the database."


def test_a_part_that_hangs_is_down_and_does_not_hold_up_the_answer(parts, monkeypatch):
    monkeypatch.setattr(health, "TIME_LIMIT_SECONDS", 0.1)
    let_go = threading.Event()
    parts["store"] = let_go.wait
    try:
        assert ask("/readyz").json()["store"] == "down"
        assert not let_go.is_set()
    finally:
        let_go.set()


def test_parts_that_hang_are_not_asked_again_and_leave_the_others_their_threads(parts, monkeypatch):
    monkeypatch.setattr(health, "TIME_LIMIT_SECONDS", 0.5)
    let_go = threading.Event()
    asked: list[str] = []

    def hang() -> None:
        asked.append("once")
        let_go.wait()

    parts["database"] = parts["migrations"] = hang
    try:
        for _ in range(3):
            told = ask("/readyz").json()
            assert [told[name] for name in health.PARTS] == ["down", "down", "ok", "ok"]
        assert len(asked) == 2
    finally:
        let_go.set()


def test_many_who_ask_at_once_cost_one_look(parts, monkeypatch):
    monkeypatch.setattr(health, "REUSED_SECONDS", 60.0)
    monkeypatch.setattr(health, "_last", (float("-inf"), {}))
    looks = []
    parts["database"] = lambda: looks.append(1)
    for _ in range(5):
        assert ask("/readyz").status_code == 200
    assert len(looks) == 1


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_nothing_can_be_sent_there(path):
    assert ask(path, "POST").status_code == 405


# ---- What is asked ----


def test_the_database_and_its_migrations(transactional_db):
    health.database()
    health.migrations()
    newest = MigrationRecorder.Migration.objects.filter(app="jobs").latest("pk")
    newest.delete()
    try:
        with pytest.raises(health.NotReady):
            health.migrations()
    finally:
        newest.save()


def test_the_database_of_a_newer_version(transactional_db):
    newer = MigrationRecorder.Migration.objects.create(app="goals", name="0099_next_year")
    try:
        with pytest.raises(health.NotReady, match=r"newer version .* goals.0099_next_year"):
            health.migrations()
    finally:
        newer.delete()


def test_a_broker_that_is_not_there(settings, tmp_path):
    settings.REDIS_URL = f"redis+socket://{tmp_path}/nowhere.sock"
    with pytest.raises(redis.ConnectionError):
        health.broker()


def test_a_data_folder_that_is_gone(settings, tmp_path):
    health.store()
    settings.DATA_DIR = tmp_path / "unmounted"
    with pytest.raises(health.NotReady):
        health.store()


# ---- The other processes ----


@pytest.mark.parametrize("process", ["clock", "light", "heavy"])
def test_a_process_lives_while_it_touches_its_file(process, parts, capsys):
    alive.file_of(process).unlink(missing_ok=True)
    with pytest.raises(CommandError, match="not been heard of"):
        call_command("healthy", process)
    alive.touch(process)
    call_command("healthy", process)
    assert capsys.readouterr().out == f"{process}: ok\n"
    old = time.time() - alive.DEAD_AFTER_SECONDS - 1
    os.utime(alive.file_of(process), (old, old))
    with pytest.raises(CommandError, match="not been heard of"):
        call_command("healthy", process)


def test_a_worker_lives_without_a_broker_but_is_not_ready(parts):
    parts["broker"] = broken
    alive.touch("heavy")
    call_command("healthy", "heavy")
    with pytest.raises(CommandError, match="heavy: Down: broker"):
        call_command("healthy", "heavy", "--ready")


def test_the_engine_is_ready_unless_it_loads_a_model(monkeypatch):
    state = {"loading": True}
    monkeypatch.setattr(engine_client, "health_now", lambda _seconds, _engine: state)
    call_command("healthy", "engine")
    with pytest.raises(CommandError, match="loads a model"):
        call_command("healthy", "engine", "--ready")
    state["loading"] = False
    call_command("healthy", "engine", "--ready")


def test_a_web_that_does_not_listen(settings):
    settings.PORT = 1
    with pytest.raises(CommandError, match="does not answer on port 1"):
        call_command("healthy", "web")
