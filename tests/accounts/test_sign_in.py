"""Signing in: password, safe redirect, new session id, lock after failed attempts."""

import pytest
from django.test import Client

from tests.accounts.pages import is_signed_in, text
from tests.conftest import PASSWORD


def test_the_right_password_signs_in(client, owner):
    response = client.post("/sign-in/", {"email": owner.email, "password": PASSWORD})
    assert response["Location"] == "/"
    assert is_signed_in(client)


def test_capitals_and_spaces_in_the_address_do_not_matter(client, owner):
    client.post("/sign-in/", {"email": " MARA@kettle.example ", "password": PASSWORD})
    assert is_signed_in(client)


@pytest.mark.parametrize("email", ["mara@kettle.example", "nobody@kettle.example"])
def test_a_wrong_password_and_a_wrong_address_read_alike(client, owner, email):
    response = client.post("/sign-in/", {"email": email, "password": "wrong wrong wrong"})
    assert response.status_code == 422
    assert "do not belong together" in text(response)
    assert not is_signed_in(client)


def test_the_session_id_changes(client, owner):
    session = client.session
    session["before"] = "here"
    session.save()
    before = client.cookies["sessionid"].value
    client.post("/sign-in/", {"email": owner.email, "password": PASSWORD})
    assert client.cookies["sessionid"].value != before


def test_redirects_to_the_requested_page(client, owner):
    response = client.get("/team/")
    assert response["Location"] == "/sign-in/?next=/team/"
    form = {"email": owner.email, "password": PASSWORD, "next": "/team/"}
    assert client.post("/sign-in/", form)["Location"] == "/team/"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "\t//evil.example",
    ],
)
def test_never_redirects_to_another_site(client, owner, elsewhere):
    form = {"email": owner.email, "password": PASSWORD, "next": elsewhere}
    assert client.post("/sign-in/", form)["Location"] == "/"


def test_after_eight_wrong_tries_even_the_right_password_waits(client, owner):
    for _try in range(8):
        response = client.post("/sign-in/", {"email": owner.email, "password": "guess"})
    assert response.status_code == 429
    response = client.post("/sign-in/", {"email": owner.email, "password": PASSWORD})
    assert response.status_code == 429
    assert "Too many attempts" in text(response)
    assert not is_signed_in(client)


def test_the_lock_is_for_the_network_of_a_household(client, owner):
    """With IPv6 each has addresses without end."""
    for number in range(1, 9):
        there = f"2001:db8::{number}"
        client.post("/sign-in/", {"email": owner.email, "password": "no"}, REMOTE_ADDR=there)
    right = {"email": owner.email, "password": PASSWORD}
    assert client.post("/sign-in/", right, REMOTE_ADDR="2001:db8::9").status_code == 429
    assert client.post("/sign-in/", right, REMOTE_ADDR="2001:db8:1::9").status_code == 302


def test_the_lock_is_for_that_person_alone(client, owner, stranger):
    for _try in range(8):
        client.post("/sign-in/", {"email": owner.email, "password": "guess"})
    browser = Client()
    browser.post("/sign-in/", {"email": stranger.email, "password": PASSWORD})
    assert is_signed_in(browser)


def test_the_lock_cannot_be_dodged_with_capitals(client, owner):
    for number in range(8):
        email = owner.email.upper() if number % 2 else owner.email
        client.post("/sign-in/", {"email": email, "password": "guess"})
    form = {"email": owner.email, "password": PASSWORD}
    assert client.post("/sign-in/", form).status_code == 429


def test_an_address_that_tries_many_accounts_is_locked_for_all_of_them(client, owner, stranger):
    for number in range(30):
        email = f"person{number}@kettle.example"
        response = client.post("/sign-in/", {"email": email, "password": "Summer2026!"})
        assert response.status_code == 422
    form = {"email": owner.email, "password": PASSWORD}
    response = client.post("/sign-in/", form)
    assert response.status_code == 429
    assert "Too many attempts" in text(response)
    assert not is_signed_in(client)
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    elsewhere.post("/sign-in/", form)
    assert is_signed_in(elsewhere)


def test_a_signed_in_user_is_redirected(as_owner):
    assert as_owner.get("/sign-in/")["Location"] == "/"


def test_an_inactive_account_cannot_sign_in(client, owner):
    owner.is_active = False
    owner.save()
    client.post("/sign-in/", {"email": owner.email, "password": PASSWORD})
    assert not is_signed_in(client)


def test_htmx_gets_the_sign_in_address_in_a_header(client, owner):
    response = client.get("/team/", headers={"HX-Request": "true"})
    assert response.status_code == 204
    assert response["HX-Redirect"] == "/sign-in/"


def test_a_form_from_another_site_is_rejected(owner):
    browser = Client(enforce_csrf_checks=True)
    form = {"email": owner.email, "password": PASSWORD}
    assert browser.post("/sign-in/", form).status_code == 403


def test_other_methods_are_refused(client, db):
    assert client.put("/sign-in/").status_code == 405
