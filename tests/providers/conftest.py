"""Fixtures: a remote model, served locally on an allowed address."""

from collections.abc import Iterator

import pytest

from finetune_app.providers.models import Endpoint
from tests import fake_provider


@pytest.fixture
def platform(settings) -> Iterator[fake_provider.Platform]:
    with fake_provider.running() as platform:
        settings.ENDPOINTS_ALLOWED = frozenset({platform.place})
        yield platform


@pytest.fixture
def endpoint(platform, team, owner) -> Endpoint:
    return platform.endpoint(team, owner)
