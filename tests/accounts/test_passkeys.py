"""Passkeys, as far as no browser is needed: tests/browser/test_second_factor.py has the rest."""

import json

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client

from tests.accounts.authenticator_app import confirmed
from tests.accounts.pages import is_signed_in, text
from tests.accounts.passkey_credential import passkey_credential
from tests.conftest import PASSWORD

ADD = "/account/second-factor/passkey/"
PASSKEY_SIGN_IN = "/sign-in/passkey/"
HERE = {"host": "localhost"}


@pytest.fixture
def passkey(viewer) -> Authenticator:
    data = {"name": "Laptop", "credential": passkey_credential()}
    return Authenticator.objects.create(user=viewer, type=Authenticator.Type.WEBAUTHN, data=data)


def give_password(user) -> Client:
    browser = Client()
    browser.post("/sign-in/", {"email": user.email, "password": PASSWORD})
    return browser


def test_the_password_alone_no_longer_signs_in(viewer, passkey):
    browser = give_password(viewer)
    assert not is_signed_in(browser)
    page = text(browser.get("/sign-in/code/", headers=HERE))
    assert "Use a passkey" in page
    assert passkey.data["credential"]["id"] in page


def test_a_credential_that_was_made_up_signs_nobody_in(viewer, passkey):
    """The right key, but nobody signed this sign-in's challenge with it."""
    made_up = passkey.data["credential"] | {"response": {"userHandle": str(viewer.pk)}}
    for credential in (json.dumps(made_up), "{}", "[]", "no JSON", "null"):
        browser = give_password(viewer)
        response = browser.post("/sign-in/code/", {"credential": credential}, headers=HERE)
        assert response.status_code == 422
        alone = Client()
        alone.get(PASSKEY_SIGN_IN, headers=HERE | {"Accept": "application/json"})
        response = alone.post(PASSKEY_SIGN_IN, {"credential": credential}, headers=HERE)
        assert response["Location"] == "/sign-in/"
        assert not is_signed_in(browser)
        assert not is_signed_in(alone)


def test_a_registration_that_was_made_up_is_refused_with_a_sentence(viewer):
    browser = confirmed(viewer)
    browser.get(ADD, headers=HERE)
    for credential in ("{}", "[]", '{"response": 1}', json.dumps(passkey_credential())):
        form = {"name": "x", "credential": credential}
        assert browser.post(ADD, form, headers=HERE).status_code in (400, 422)
    assert not Authenticator.objects.exists()


def test_the_options_ask_for_a_key_of_this_host(client, passkey):
    headers = HERE | {"Accept": "application/json"}
    options = client.get(PASSKEY_SIGN_IN, headers=headers).json()["request_options"]["publicKey"]
    assert options["rpId"] == "localhost"
    assert options["userVerification"] == "required"
    assert "allowCredentials" not in options or not options["allowCredentials"]


def test_an_address_that_sends_one_after_another_waits(client, viewer, passkey):
    for _try in range(10):
        assert client.post(PASSKEY_SIGN_IN, {"credential": "{}"}, headers=HERE).status_code == 302
    response = client.post(PASSKEY_SIGN_IN, {"credential": "{}"}, headers=HERE)
    assert response.status_code == 429
    assert "Too many attempts" in text(response)


def test_adding_asks_for_the_password_first(as_viewer):
    assert as_viewer.get(ADD)["Location"].startswith("/account/confirm/")


def test_it_is_removed_by_its_owner_alone(viewer, as_stranger, owner, passkey):
    address = f"{ADD}{passkey.pk}/remove/"
    for browser in (as_stranger, confirmed(owner)):
        assert browser.get(address).status_code == 404
        assert browser.post(address).status_code == 404
    assert Authenticator.objects.filter(pk=passkey.pk).exists()


def test_without_the_password_it_is_not_removed(as_viewer, passkey):
    response = as_viewer.post(f"{ADD}{passkey.pk}/remove/")
    assert response["Location"].startswith("/account/confirm/")
    assert Authenticator.objects.filter(pk=passkey.pk).exists()


@pytest.mark.parametrize(
    ("host", "works"),
    [("localhost:8000", True), ("localhost", True), ("127.0.0.1:8000", False), ("[::1]", False)],
)
def test_the_page_offers_them_where_browsers_make_them(as_viewer, host, works):
    page = text(as_viewer.get("/account/second-factor/", headers={"host": host}))
    assert ("Add a passkey" in page) is works
    assert ("only for an address with a name" in page) is not works


def test_a_host_with_a_name_needs_https(as_viewer, settings):
    settings.ALLOWED_HOSTS = ["finetune.example"]
    host = {"host": "finetune.example"}
    assert "Add a passkey" not in text(as_viewer.get("/account/second-factor/", headers=host))
    page = as_viewer.get("/account/second-factor/", headers=host, secure=True)
    assert "Add a passkey" in text(page)


def test_the_sign_in_page_offers_one_once_somebody_has_one(client, owner, viewer):
    assert "passkey" not in text(client.get("/sign-in/", headers=HERE))
    data = {"name": "Laptop", "credential": passkey_credential()}
    Authenticator.objects.create(user=viewer, type=Authenticator.Type.WEBAUTHN, data=data)
    assert "Sign in with a passkey" in text(client.get("/sign-in/", headers=HERE))
    assert "passkey" not in text(client.get("/sign-in/", headers={"host": "127.0.0.1"}))


def test_a_name_with_markup_is_text(as_viewer, passkey):
    passkey.data["name"] = "<svg onload=alert(1)>"
    passkey.save()
    page = as_viewer.get("/account/second-factor/").content.decode()
    assert "<svg onload" not in page
    assert "&lt;svg onload" in page
