"""Requests made from the description of OpenAI's API: each is answered, and as it describes.

openai_api.json is OpenAI's own description (MIT licence), cut to what Finetune serves.
"""

import json
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.routes import ROUTES
from tests.security.api import LEAKS

DESCRIPTION = json.loads((Path(__file__).parent / "openai_api.json").read_text())
SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION)
OPERATIONS = [(path, method) for path, item in DESCRIPTION["paths"].items() for method in item]

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def valid_key(site) -> str:
    _key, text = site.key()
    return text


@pytest.mark.django_db  # so that pytest-django sets up the database for this file
def test_the_description_has_every_route_of_the_api():
    rooms = ("fine_tuning_api:", "batches:", "gateway:")
    ours = ("gateway:feedback", "gateway:unknown_url")  # OpenAI has nothing like them
    found = {
        one.pattern.split("<")[0].rstrip("/")
        for one in ROUTES
        if one.name.startswith(rooms) and one.name not in ours
    }
    described = {path.split("{")[0].strip("/") for path, _method in OPERATIONS}
    assert {one.removeprefix("v1/") for one in found} <= described


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_any_request_of_the_description_is_answered(path, method, site, valid_key):
    """The engine is away, so a request that is right gets 503."""
    headers = {"Authorization": f"Bearer {valid_key}"}

    @given(case=SCHEMA[path][method.upper()].as_strategy())
    @settings(
        max_examples=30,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case) -> None:
        response = case.call(base_url=site.address, headers=headers, timeout=60)
        text = response.content.decode(errors="replace")
        assert response.status_code < 500 or response.status_code == 503, text
        assert not any(leak in text for leak in LEAKS), text
        if response.status_code < 400:
            case.validate_response(response, checks=[response_schema_conformance])
        else:
            assert set(json.loads(text)["error"]) == {"message", "type", "param", "code"}

    ask()
