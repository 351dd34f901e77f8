"""Helpers for tests of accounts."""

import html

from django.test import Client

from finetune_app.accounts.models import User
from tests.conftest import PASSWORD

LONG_PASSWORD = "four ordinary plain words"


def text(response) -> str:
    """The page's text with entities decoded."""
    return html.unescape(response.content.decode())


def sign_in(user: User, password: str = PASSWORD) -> Client:
    """A test client that has signed in with a password."""
    browser = Client()
    response = browser.post("/sign-in/", {"email": user.email, "password": password})
    assert response.status_code == 302, text(response)
    return browser


def is_signed_in(browser: Client) -> bool:
    return browser.get("/account/").status_code == 200
