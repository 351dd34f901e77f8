"""Fixtures for API tests: uvicorn on a port, a real engine with a tiny model, and OpenAI's
client."""

import httpx
import openai
import pytest

from finetune_app.api_keys import services as api_keys
from finetune_app.candidates import services as candidates
from finetune_app.deployment import services
from tests.journey import install, ready, trained
from tests.live_server import serving
from tests.openai_description import check_response
from tests.worker.engine.engine_server import SECRET, EngineServer
from tests.worker.engine.tiny_models import make_adapter, make_base


@pytest.fixture(scope="session")
def engine_process(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    make_base(data / "base", "llama")
    make_adapter(data / "base", data / "adapter", 1)
    running = EngineServer(data)
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture(scope="session")
def address():
    """Address of uvicorn, which serves the application in a thread."""
    with serving() as found:
        yield found


@pytest.fixture
def live(transactional_db, goal, owner, engine_process, settings, monkeypatch):
    """The tuned model, live as “sort-shop-emails”. It computes in float32 on every machine, so that
    an answer does not depend on which requests happen to be computed together."""
    training = trained(ready(goal, owner, install("starter")), owner)
    settings.ENGINE_SOCKET, settings.ENGINE_SECRET = engine_process.socket, SECRET
    tuned = candidates.tuned_candidate(training=training)
    tuned.number_format = "fp32"
    tuned.save()
    live = services.go_live(
        goal=goal, candidate=tuned, by=owner
    ).deployment  # before the engine reads other weights in its place
    folders = {training.base_model.folder: "base", training.adapter_folder: "adapter"}
    for module in ("finetune_app.candidates.services", "finetune_app.gateway.model_lookup"):
        monkeypatch.setattr(
            f"{module}.engine_folder", lambda name: engine_process.data / folders[name]
        )
    return live


@pytest.fixture
def key(live, team, owner):
    """(row, text) of a key for the whole team."""
    return api_keys.create_key(team=team, by=owner, name="a program", requests_per_minute=1000)


@pytest.fixture
def client(address, key):
    """OpenAI's client. Each response is held against OpenAI's description."""
    http = httpx.Client(event_hooks={"response": [check_response]})
    with openai.OpenAI(
        base_url=address, api_key=key[1], max_retries=0, timeout=280, http_client=http
    ) as found:
        yield found
