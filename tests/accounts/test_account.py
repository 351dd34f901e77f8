"""Name and e-mail address."""

import pytest

from tests.accounts.pages import text
from tests.conftest import PASSWORD

CHANGE = {"name": "Vera B.", "email": "Vera.B@kettle.example"}


def test_a_person_changes_their_name_and_address(as_viewer, viewer):
    as_viewer.post("/account/", CHANGE | {"password": PASSWORD})
    viewer.refresh_from_db()
    assert (viewer.name, viewer.email) == ("Vera B.", "vera.b@kettle.example")


@pytest.mark.parametrize(
    ("password", "error"),
    [
        ("", "A new address needs your password."),
        ("wrong wrong wrong", "That is not your password."),
    ],
)
def test_a_new_address_needs_the_password(as_viewer, viewer, password, error):
    response = as_viewer.post("/account/", CHANGE | {"password": password})
    assert response.status_code == 422
    assert error in text(response)
    viewer.refresh_from_db()
    assert (viewer.name, viewer.email) == ("Vera", "vera@kettle.example")


def test_a_new_name_needs_no_password(as_viewer, viewer):
    as_viewer.post("/account/", {"name": "Vera B.", "email": viewer.email})
    viewer.refresh_from_db()
    assert viewer.name == "Vera B."


def test_an_address_in_use_is_rejected(as_viewer, viewer, owner):
    response = as_viewer.post("/account/", {"name": "Vera", "email": owner.email.upper()})
    assert response.status_code == 422
    assert "with this address already" in text(response)
    viewer.refresh_from_db()
    assert viewer.email == "vera@kettle.example"


def test_a_rejected_name_does_not_show_in_the_header(as_viewer, viewer):
    response = as_viewer.post("/account/", {"name": "Impostor", "email": "no address"})
    assert str(response.context["user"]) == str(viewer)


def test_the_current_address_may_stay(as_viewer, viewer):
    response = as_viewer.post("/account/", {"name": "Vera", "email": viewer.email})
    assert response.status_code == 302


def test_the_page_lists_the_teams(as_viewer):
    assert "Kettle Lane Cycles" in text(as_viewer.get("/account/"))


def test_markup_in_a_name_stays_text(as_viewer, viewer):
    as_viewer.post("/account/", {"name": "<svg onload=alert(1)>", "email": viewer.email})
    page = as_viewer.get("/team/").content.decode()
    assert "<svg onload" not in page
    assert "&lt;svg onload" in page


def test_other_methods_are_refused(as_owner):
    assert as_owner.delete("/account/").status_code == 405


def test_signed_out_users_are_redirected_to_sign_in(client, db):
    assert client.get("/account/")["Location"] == "/sign-in/?next=/account/"
