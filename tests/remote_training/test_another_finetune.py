"""The platform is another Finetune: its own API, a real training, and an answer through it."""

from pathlib import Path

import pytest
from django.conf import settings as configured

from finetune_app.api_keys import services as api_keys
from finetune_app.core.encryption import encrypt
from finetune_app.jobs import lease
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import State
from finetune_app.providers.services import try_it
from finetune_app.remote_training import services
from finetune_app.remote_training.models import PlatformAccount
from tests import journey
from tests.deployment_fixtures import separate_rate_limits  # noqa: F401
from tests.engine_fixtures import address, engine_process  # noqa: F401
from tests.remote_training.conftest import step
from tests.worker.engine.engine_server import SECRET, EngineServer
from tests.worker.engine.tiny_models import make_base
from tests.worker.in_process_child import supervise_in_process


@pytest.fixture
def account(transactional_db, address, team, stranger, settings) -> PlatformAccount:  # noqa: F811
    """Of our team, on the installation of another."""
    base = journey.install("starter")
    make_base(Path(configured.DATA_DIR) / base.folder, "llama")
    settings.ENDPOINTS_ALLOWED = frozenset({address.split("/")[2]})
    _key, text = api_keys.create_key(
        team=stranger.teams.get(), by=stranger, name="Kettle Lane", requests_per_minute=10_000
    )
    return PlatformAccount.objects.create(
        team=team, name="Cluster", url=address, secret=encrypt(text)
    )


def work_there() -> None:
    """The other installation's heavy worker."""
    supervise_in_process(lease.take_next(heavy=True, worker="there"))


@pytest.mark.one_database
def test_it_trains_there_and_answers_here(frozen, account, editor, settings, monkeypatch):
    monkeypatch.setattr(jobs, "wake_worker", lambda job: True)
    training = services.start(goal=frozen, account=account, user=editor, model="starter", epochs=1)
    training = step(training)
    assert training.remote_state == "queued", training.job.message
    work_there()
    training = step(training)
    assert training.job.state == State.SUCCEEDED, training.job.message
    assert training.trained_tokens
    assert training.events.exclude(metrics={}).exists()  # its curve
    engine = EngineServer(Path(configured.DATA_DIR))
    settings.ENGINE_SOCKET, settings.ENGINE_SECRET = engine.socket, SECRET
    try:
        assert try_it(endpoint=training.endpoint).tokens_out
    finally:
        engine.process.kill()
        engine.process.wait()
        print(engine.log.read_text())  # shown where it fails


def test_cancelled_here_is_cancelled_there(frozen, account, editor, monkeypatch):
    monkeypatch.setattr(jobs, "wake_worker", lambda job: True)
    training = step(
        services.start(goal=frozen, account=account, user=editor, model="starter", epochs=1)
    )
    services.stop(training=training)
    training = step(training)
    assert training.job.state == State.CANCELLED
    assert lease.take_next(heavy=True, worker="there") is None
