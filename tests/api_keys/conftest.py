import pytest

from finetune_app.api_keys import services as api_keys
from tests.deployment_fixtures import live, separate_rate_limits, tuned, url  # noqa: F401


@pytest.fixture
def made(team, owner):
    """made(**limits) creates a key of the team: (row, text)."""
    return lambda **given: api_keys.create_key(team=team, by=owner, name="a program", **given)
