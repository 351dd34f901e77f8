"""Rate limits are counted in the broker; while it is unreachable nobody is refused."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from finetune_app.api_keys import rate_limits
from finetune_app.api_keys import services as api_keys
from finetune_app.core import rate_limiter
from finetune_app.operations.management.commands.up import broker_command
from tests.worker.conftest import wait_for

REAL_STORAGE = rate_limiter._storage


@pytest.fixture
def key(team, owner):
    return api_keys.create_key(
        team=team, by=owner, name="x", requests_per_minute=2, tokens_per_minute=50
    )[0]


@pytest.fixture
def broker(settings, monkeypatch):
    monkeypatch.setattr(rate_limiter, "_storage", REAL_STORAGE)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a socket's path must be short
        socket = Path(folder) / "broker.sock"
        settings.REDIS_URL = f"redis+socket://{socket}"
        process = subprocess.Popen(broker_command(socket), cwd=folder, stdout=subprocess.DEVNULL)
        wait_for(socket.exists, seconds=20)
        yield process
        process.kill()
        process.wait()


def test_requests_and_tokens_are_counted(broker, key):
    rate_limits.count_request(key)
    rate_limits.count_tokens(key, 20)
    rate_limits.count_request(key)
    with pytest.raises(rate_limits.RateLimitExceeded) as exceeded:
        rate_limits.count_request(key)
    assert (exceeded.value.unit, exceeded.value.limit) == ("requests", 2)
    assert 1 <= exceeded.value.retry_after <= 60


def test_exceeding_tokens_delays_the_next_request(broker, key):
    rate_limits.count_request(key)
    rate_limits.count_tokens(key, 400)
    with pytest.raises(rate_limits.RateLimitExceeded) as exceeded:
        rate_limits.count_request(key)
    assert exceeded.value.unit == "tokens"


def test_nobody_is_refused_while_the_broker_is_unreachable(broker, key):
    rate_limits.count_request(key)
    broker.kill()
    broker.wait()
    for _again in range(5):
        rate_limits.count_request(key)
        rate_limits.count_tokens(key, 400)
