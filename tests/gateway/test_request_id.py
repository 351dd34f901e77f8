"""The id of a request to the API can be followed to the engine's line about it."""

import json

from tests.gateway.chat_requests import ask


def test_an_id_is_on_the_response_and_on_the_line_of_the_engine(client, live, engine_process):
    raw = client.chat.completions.with_raw_response.create(
        model=live.name,
        messages=[{"role": "user", "content": "Hello"}],
        max_tokens=2,
        extra_headers={"X-Request-ID": "follow-me"},
    )
    assert raw.headers["X-Request-ID"] == "follow-me"
    lines = engine_process.log.read_text().splitlines()
    events = [json.loads(line) for line in lines if "follow-me" in line]
    assert {(event["process"], event["request_id"]) for event in events} == {
        ("engine", "follow-me")
    }
    assert "chat: 1 answers of base" in [event["message"] for event in events]


def test_openais_client_knows_the_id(client, live):
    """Its `_request_id` is what people send to whoever runs the server."""
    assert len(ask(client)._request_id) == 16
