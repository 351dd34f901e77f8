import httpx
import openai
import pytest

from finetune_app.accounts.models import User
from finetune_app.api_keys import services as api_keys
from tests.deployment_fixtures import separate_rate_limits  # noqa: F401
from tests.engine_fixtures import address, engine_process  # noqa: F401
from tests.journey import install
from tests.openai_description import check_response


@pytest.fixture
def base(transactional_db):
    return install("starter")


@pytest.fixture
def client_of(address, base):  # noqa: F811
    """Makes OpenAI's client with a key of this person's team. Each response is held against
    OpenAI's description."""
    http = httpx.Client(event_hooks={"response": [check_response]})

    def make(person: User) -> openai.OpenAI:
        _key, text = api_keys.create_key(
            team=person.teams.get(), by=person, name="a program", requests_per_minute=10_000
        )
        return openai.OpenAI(
            base_url=address, api_key=text, max_retries=0, timeout=120, http_client=http
        )

    with http:
        yield make


@pytest.fixture
def client(client_of, owner):
    return client_of(owner)
