"""Unknown addresses and methods, forged headers and hosts."""

import json

import pytest

from tests.security.api import CHAT, HELLO, everything_answered, raw_response


@pytest.mark.django_db  # so that pytest-django sets up the database for this file
def test_an_unknown_address_needs_a_key_too(client):
    reply = client.post("/v1/assistants")
    assert reply.status_code == 401
    assert reply.json()["error"]["code"] == "missing_api_key"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", CHAT, 405),
        ("HEAD", "/models", 405),
        ("OPTIONS", CHAT, 405),
        ("TRACE", CHAT, 405),
        ("PROPFIND", "/models", 405),
        ("PATCH", "/files", 405),
        ("GET", "/nothing", 404),
        ("GET", "/%00", 404),
        ("GET", "/models/%00%ff", 404),
        ("GET", "/files/..%2f..%2fx", 404),
        ("GET", "/x%0ay", 404),
        ("GET", "/", 404),
        ("POST", "/load_lora_adapter", 404),
        ("POST", "/unload", 404),
        ("POST", "/embed", 404),
        ("GET", "/health", 404),
    ],
)
def test_what_is_not_served_is_said_in_json(ask, method, path, status):
    """The engine's own routes (vLLM's load_lora_adapter, unload, health) are not among them."""
    reply = ask(method, path)
    assert reply.status_code == status
    if status == 405:
        assert reply.headers["Allow"]
    assert "access-control-allow-origin" not in reply.headers  # no page of another site asks


def test_a_line_end_in_a_name_makes_no_header(ask):
    """Header injection through what is sent back."""
    evil = "x\r\nSet-Cookie: evil=1\r\n\r\n<svg>"
    for reply in (
        ask("POST", CHAT, json=HELLO | {"model": evil}),
        ask("GET", "/models/x%0d%0aSet-Cookie:%20evil=1"),
        ask("POST", "/files", files={"file": (evil, b"{}")}, data={"purpose": "fine-tune"}),
        ask(
            "GET", "/models", headers={"X-Request-Id": "<mine>", "X-Forwarded-Host": "evil.example"}
        ),
    ):
        assert "set-cookie" not in reply.headers
        assert reply.headers["content-type"].startswith("application/json")
        assert "evil.example" not in str(reply.headers)
        assert reply.headers["x-request-id"] != "<mine>"


def test_a_host_that_is_not_ours_is_not_answered(site):
    """DNS rebinding: a page of evil.example whose name has become 127.0.0.1 (CVE-2025-62593)."""
    _key, text = site.key()
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1@evil.example", "[::1", ""):
        lines = ["GET /v1/models HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {text}"]
        assert raw_response(site.address, lines).startswith(b"HTTP/1.1 400"), host


def test_two_lengths_or_a_length_and_chunks_are_not_guessed_at(site):
    """Request smuggling behind a proxy that believes the other one."""
    _key, text = site.key()
    for lengths in (
        ["Content-Length: 4", "Content-Length: 40"],
        ["Content-Length: +4"],
        ["Content-Length: 4", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: xchunked"],
    ):
        head = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Connection: close"]
        lines = [*head, f"Authorization: Bearer {text}", *lengths, "", "0", ""]
        reply = raw_response(site.address, [*lines, "GET /v1/smuggled HTTP/1.1", "Host: localhost"])
        assert reply.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), lengths
        assert b"smuggled" not in reply


def test_a_length_and_chunks_get_one_answer_also_around_valid_json(site):
    """The rest of the body must not be answered as a second request."""
    _key, text = site.key()
    body = json.dumps({"model": "emails", "messages": [{"role": "user", "content": "Hello"}]})
    lines = [
        *(
            "POST /v1/chat/completions HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
        ),
        *(f"Authorization: Bearer {text}", "Content-Length: 4", "Transfer-Encoding: chunked", ""),
        *(f"{len(body):x}", body, "0", ""),
        *("GET /v1/smuggled HTTP/1.1", "Host: localhost", "Connection: close"),
    ]
    reply = everything_answered(site.address, lines)
    assert reply.startswith(b"HTTP/1.1 400")
    assert reply.count(b"HTTP/1.1 ") == 1
