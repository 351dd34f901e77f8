"""The client's IP address: the peer's, or the last one added by a trusted proxy."""

import pytest
from django.test import RequestFactory

from finetune_app.core.requests import client_ip
from finetune_app.core.web_worker import WebWorker
from finetune_app.operations.management.commands import up


def seen(hops: str) -> str:
    return client_ip(RequestFactory().get("/", headers={"X-Forwarded-For": hops}))


@pytest.mark.parametrize(
    ("hops", "address"),
    [
        ("9.9.9.9, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:51234", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:51234", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("unknown", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_behind_our_proxy_the_last_hop_counts(settings, hops, address):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert seen(hops) == address


def test_without_a_proxy_the_header_is_ignored(settings):
    settings.SECURE_PROXY_SSL_HEADER = None
    assert seen("203.0.113.7") == "127.0.0.1"


def test_the_web_server_ignores_forwarded_addresses(settings):
    """uvicorn would believe X-Forwarded-For from this machine, and every try another address."""
    compose = (settings.BASE_DIR / "docker-compose.yml").read_text()
    assert WebWorker.CONFIG_KWARGS["proxy_headers"] is False
    assert "python:finetune_app.web_server" in up.web_command()
    assert "python:finetune_app.web_server" in compose
