"""An authenticator app of a person in a test."""

import time

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.test import Client

from finetune_app.accounts.models import User
from tests.accounts.pages import sign_in
from tests.conftest import PASSWORD


def code_of(secret: str, steps: int = 0) -> str:
    """The code that an app shows now, or `steps` times 30 seconds later."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps))


def confirmed(user: User) -> Client:
    """A browser in which the user has given the password again."""
    browser = sign_in(user)
    response = browser.post("/account/confirm/", {"password": PASSWORD, "next": "/account/"})
    assert response.status_code == 302
    return browser


def add_app(browser: Client) -> str:
    """Add an authenticator app on the pages; returns its secret."""
    page = browser.get("/account/second-factor/app/")
    secret: str = page.context["form"].secret
    response = browser.post("/account/second-factor/app/", {"code": code_of(secret)})
    assert response.status_code == 302, response.content
    return secret


def give_password(user: User) -> Client:
    """A browser that has given the right password, and is asked for the second factor."""
    browser = Client()
    response = browser.post(
        "/sign-in/", {"email": user.email, "password": PASSWORD, "next": "/team/"}
    )
    assert response["Location"] == "/sign-in/code/"
    return browser
