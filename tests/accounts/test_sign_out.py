"""Signing out needs a POST."""

from tests.accounts.pages import is_signed_in


def test_a_post_signs_out(as_owner):
    assert as_owner.post("/sign-out/")["Location"] == "/sign-in/"
    assert not is_signed_in(as_owner)


def test_a_get_request_does_not_sign_out(as_owner):
    assert as_owner.get("/sign-out/").status_code == 405
    assert is_signed_in(as_owner)


def test_never_redirects_to_another_site(as_owner):
    response = as_owner.post("/sign-out/", {"next": "https://evil.example/"})
    assert response["Location"] == "/sign-in/"


def test_a_signed_out_user_is_redirected_to_sign_in(client, db):
    assert client.post("/sign-out/")["Location"].startswith("/sign-in/")
