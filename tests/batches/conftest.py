import pytest

from finetune_app.jobs import services as jobs
from tests.batches.batch_files import FakeEngine
from tests.deployment_fixtures import separate_rate_limits  # noqa: F401
from tests.engine_fixtures import address, client, engine_process, key, live  # noqa: F401


@pytest.fixture(autouse=True)
def _no_workers(monkeypatch):
    monkeypatch.setattr(jobs, "wake_worker", lambda job: True)


@pytest.fixture
def engine(monkeypatch) -> FakeEngine:
    """An engine that answers each question with its own text."""
    fake = FakeEngine()
    monkeypatch.setattr("finetune_app.core.engine_client.stream_chat", fake.stream_chat)
    return fake
