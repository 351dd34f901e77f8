import httpx
import openai
import pytest

from finetune_app.api_keys import services as api_keys
from tests.deployment_fixtures import separate_rate_limits  # noqa: F401
from tests.engine_fixtures import address, engine_process  # noqa: F401
from tests.fine_tuning_api.description import check_response
from tests.journey import install


@pytest.fixture
def base(transactional_db):
    return install("starter")


@pytest.fixture
def client(address, base, team, owner):  # noqa: F811
    """OpenAI's client. Each response is held against OpenAI's description."""
    _key, text = api_keys.create_key(
        team=team, by=owner, name="a program", requests_per_minute=10_000
    )
    http = httpx.Client(event_hooks={"response": [check_response]})
    with openai.OpenAI(
        base_url=address, api_key=text, max_retries=0, timeout=120, http_client=http
    ) as found:
        yield found
