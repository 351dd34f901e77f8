"""A deployment that cannot answer: its own log says so, and its alert sees it."""

import openai
import pytest

from finetune_app.alerts import rules
from finetune_app.candidates import inference
from finetune_app.core.errors import PlainError
from finetune_app.deployment import services
from finetune_app.gateway.errors import ApiError
from finetune_app.playground import page_client
from finetune_app.request_log.models import Request
from tests.gateway.chat_requests import HELLO, ask
from tests.gateway.response_requests import respond


@pytest.fixture
def without_documents(live, monkeypatch):
    """What the deployment looks things up in is gone."""

    def is_gone(_candidate):
        raise PlainError("The documents have changed.")

    monkeypatch.setattr(inference, "request_for", is_gone)
    return live


def test_an_outage_is_logged_for_the_deployment_and_its_version(client, without_documents):
    with pytest.raises(openai.InternalServerError, match="documents have changed") as refused:
        ask(client)
    assert (refused.value.status_code, refused.value.code) == (503, "model_not_ready")
    logged = Request.objects.get()
    assert logged.deployment == without_documents
    assert logged.release == without_documents.current
    assert logged.error_label == "The model was not ready"


def test_an_outage_raises_the_alert(client, without_documents):
    for _time in range(rules.MIN_REQUESTS):
        with pytest.raises(openai.InternalServerError):
            ask(client)
    assert rules.measure("errors", without_documents) == 100


def test_an_outage_on_a_page_is_logged_too(without_documents):
    with pytest.raises(ApiError, match="documents have changed"):
        page_client.prepare(without_documents, "page:1", {"messages": HELLO})
    logged = Request.objects.get()
    assert (logged.deployment, logged.error) == (without_documents, "model_not_ready")


def test_a_pause_is_logged_for_the_deployment_and_raises_no_alert(client, live):
    services.pause(deployment=live)
    for _time in range(rules.MIN_REQUESTS):
        with pytest.raises(openai.InternalServerError, match="is paused"):
            ask(client)
    assert {row.deployment for row in Request.objects.all()} == {live}
    assert {row.error_label for row in Request.objects.all()} == {"It was paused"}
    assert rules.measure("errors", live) is None


def test_a_response_that_cannot_be_stored_is_logged_for_the_deployment(client, live):
    with pytest.raises(openai.BadRequestError, match="cannot be stored"):
        respond(client, store=True)
    logged = Request.objects.get()
    assert (logged.status, logged.deployment, logged.release) == (400, live, live.current)
