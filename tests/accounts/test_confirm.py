"""The page that asks for the password again."""

import pytest

from tests.accounts.pages import sign_in, text
from tests.conftest import PASSWORD

CONFIRM = "/account/confirm/"


def test_the_right_password_leads_on(as_viewer):
    response = as_viewer.post(CONFIRM, {"password": PASSWORD, "next": "/account/sessions/"})
    assert response["Location"] == "/account/sessions/"


def test_a_wrong_password_is_asked_for_again(as_viewer):
    response = as_viewer.post(CONFIRM, {"password": "a guess", "next": "/account/sessions/"})
    assert response.status_code == 422
    assert "That is not your password." in text(response)


def test_guessing_is_locked_as_at_the_sign_in(as_viewer, viewer, client):
    for _try in range(8):
        response = as_viewer.post(CONFIRM, {"password": "a guess"})
    assert response.status_code == 429
    form = {"email": viewer.email, "password": PASSWORD}
    assert client.post("/sign-in/", form).status_code == 429


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example"]
)
def test_it_never_leads_to_another_site(as_viewer, elsewhere):
    response = as_viewer.post(CONFIRM, {"password": PASSWORD, "next": elsewhere})
    assert response["Location"] == "/"


def test_somebody_signed_out_signs_in_first(client, db):
    assert client.get(CONFIRM)["Location"] == "/sign-in/?next=/account/confirm/"


def test_the_password_of_another_person_does_not_do(viewer, owner):
    owner.set_password("another plain password")
    owner.save()
    browser = sign_in(viewer)
    assert browser.post(CONFIRM, {"password": "another plain password"}).status_code == 422


def test_other_methods_are_refused(as_viewer):
    assert as_viewer.put(CONFIRM).status_code == 405
