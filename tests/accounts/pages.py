"""What the stories about accounts share."""

import html

from django.test import Client

from finetune_app.accounts.models import User
from tests.conftest import PASSWORD

LONG_PASSWORD = "four ordinary plain words"


def text(response) -> str:
    """The page as its reader sees it, more or less: entities undone."""
    return html.unescape(response.content.decode())


def sign_in(user: User, password: str = PASSWORD) -> Client:
    """A browser in which this person typed their password."""
    browser = Client()
    response = browser.post("/sign-in/", {"email": user.email, "password": password})
    assert response.status_code == 302, text(response)
    return browser


def is_signed_in(browser: Client) -> bool:
    return browser.get("/account/").status_code == 200
