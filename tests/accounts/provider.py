"""A provider of OpenID Connect on loopback, and a person who has an account there."""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import flask
import httpx
import oidc_provider_mock
from django.http import HttpResponse
from django.test import Client
from werkzeug.serving import make_server

SIGN_IN = "/sign-in/oidc/"
CALLBACK = "/sign-in/oidc/callback/"


@dataclass
class Provider:
    issuer: str
    token_requests: list[dict[str, str]] = field(default_factory=list)

    def knows(self, subject: str, **claims: object) -> None:
        """Somebody has an account at the provider."""
        httpx.put(f"{self.issuer}/users/{subject}", json=claims).raise_for_status()

    def send_back(self, address: str, subject: str) -> str:
        """The address that the provider sends `subject` back to, from its own at `address`."""
        answer = httpx.post(address, data={"sub": subject})
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]

    def deny(self, address: str) -> str:
        return httpx.post(address, data={"action": "deny"}).headers["Location"]

    def sign_in(self, browser: Client, subject: str, next_page: str = "") -> HttpResponse:
        """The whole way: to the provider and back. Returns our last answer."""
        there = browser.get(SIGN_IN, {"next": next_page} if next_page else {})
        assert there["Location"].startswith(self.issuer), there["Location"]
        return browser.get(path_of(self.send_back(there["Location"], subject)))


def path_of(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}"


def parameters(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


@contextmanager
def running_provider() -> Iterator[Provider]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = oidc_provider_mock.app()
    app.debug = False
    server = make_server("127.0.0.1", 0, app, threaded=True)
    provider = Provider(f"http://127.0.0.1:{server.server_port}")

    @app.before_request
    def note() -> None:
        if re.search(r"/token$", flask.request.path):
            provider.token_requests.append(flask.request.form.to_dict())

    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
