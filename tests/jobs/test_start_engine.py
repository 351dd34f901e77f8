"""Which engine `make run` starts, and which one the web asks."""

import pytest

from finetune_app.core import engines
from finetune_app.operations.management.commands import up
from tests.jobs.test_cards import Started


@pytest.fixture
def start(monkeypatch, settings):
    """The processes that would be started with these settings."""
    monkeypatch.setattr(up, "graphics_cards", list)

    def start(**given: object) -> dict:
        for name, value in given.items():
            setattr(settings, name, value)
        started = Started()
        up.start_others(started)
        return started.processes

    return start


def asked() -> list[str]:
    return [engine.url for engine in engines.pool().engines]


def test_on_one_computer_it_listens_on_a_socket(start, settings):
    command, environment = start()["engine"]
    assert command[-2:] == ["--socket", str(settings.ENGINE_SOCKET)]
    assert environment["FINETUNE_ENGINE_SECRET"] == settings.ENGINE_SECRET
    assert asked() == ["http://engine"]


def test_where_it_listens_on_a_network_this_host_asks_it_too(start):
    command, _environment = start(ENGINE_LISTEN="0.0.0.0:8700")["engine"]
    assert command[-2:] == ["--listen", "0.0.0.0:8700"]
    assert asked() == ["https://127.0.0.1:8700"]


def test_where_engines_are_elsewhere_none_is_started(start):
    assert "engine" not in start(ENGINES=("gpu-1:8700", "gpu-2:8700"))
    assert asked() == ["https://gpu-1:8700", "https://gpu-2:8700"]
