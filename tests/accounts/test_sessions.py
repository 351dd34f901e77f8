"""The list of sessions, and signing out of any."""

import pytest
from allauth.usersessions.models import UserSession
from django.test import Client

from tests.accounts.pages import LONG_PASSWORD, is_signed_in, sign_in, text
from tests.conftest import PASSWORD

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
EDGE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0 Safari/537.36 Edg/140.0"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1"
)


def browser_of(user, user_agent: str = FIREFOX, address: str = "192.0.2.7") -> Client:
    browser = Client(HTTP_USER_AGENT=user_agent, REMOTE_ADDR=address)
    browser.post("/sign-in/", {"email": user.email, "password": PASSWORD})
    assert is_signed_in(browser)
    return browser


def row_of(browser: Client) -> UserSession:
    return UserSession.objects.get(session_key=browser.session.session_key)


def lines(browser: Client) -> list[str]:
    """The sessions on the page."""
    sessions = browser.get("/account/sessions/").context["sessions"]
    return [f"{one.device} from {one.address}" for one in sessions]


def test_the_page_names_browser_system_and_address(viewer):
    elsewhere = browser_of(viewer, EDGE)
    here = browser_of(viewer, IPHONE, "198.51.100.9")
    page = text(here.get("/account/sessions/"))
    assert "Safari on iPhone" in page
    assert "Edge on Windows" in page
    assert "198.51.100.9" in page
    assert "192.0.2.7" in page
    assert page.index("Safari on iPhone") < page.index("(this one)") < page.index("Edge on Windows")
    assert is_signed_in(elsewhere)


def test_a_program_that_names_no_browser_is_listed_too(viewer):
    browser = browser_of(viewer, "curl/8.14")
    assert "Another program" in text(browser.get("/account/sessions/"))


def test_an_unknown_browser_is_shown_as_text(viewer):
    browser = browser_of(viewer, "<svg onload=alert(1)>")
    assert "<svg onload" not in browser.get("/account/sessions/").content.decode()


def test_one_of_them_is_signed_out(viewer):
    here, elsewhere, third = browser_of(viewer), browser_of(viewer), browser_of(viewer)
    here.post(f"/account/sessions/{row_of(elsewhere).pk}/end/")
    assert not is_signed_in(elsewhere)
    assert is_signed_in(here)
    assert is_signed_in(third)


def test_all_others_are_signed_out(viewer, editor):
    here, elsewhere, third = browser_of(viewer), browser_of(viewer), browser_of(viewer)
    somebody_else = browser_of(editor)
    response = here.post("/account/sessions/end-others/", follow=True)
    assert "2 browsers are signed out" in text(response)
    assert [is_signed_in(one) for one in (here, elsewhere, third)] == [True, False, False]
    assert is_signed_in(somebody_else)


def test_the_session_of_another_person_is_not_found(as_stranger, as_owner, viewer):
    elsewhere = browser_of(viewer)
    for browser in (as_stranger, as_owner):
        assert browser.post(f"/account/sessions/{row_of(elsewhere).pk}/end/").status_code == 404
    assert is_signed_in(elsewhere)


def test_a_session_that_was_signed_out_leaves_the_list(viewer):
    here, elsewhere = browser_of(viewer), browser_of(viewer)
    elsewhere.post("/sign-out/")
    assert len(lines(here)) == 1


def test_after_a_new_password_only_this_session_is_listed(viewer):
    here, _elsewhere = browser_of(viewer), browser_of(viewer)
    here.post("/account/password/", {"old": PASSWORD, "new": LONG_PASSWORD})
    assert len(lines(here)) == 1


def test_a_session_from_before_the_list_was_kept_is_listed_once_it_is_used(viewer):
    here = browser_of(viewer)
    UserSession.objects.all().delete()
    session = here.session
    del session["seen"]
    session.save()
    assert lines(here) == ["Firefox on Linux from 192.0.2.7"]


def test_the_use_is_noted_once_in_ten_minutes(viewer):
    here = sign_in(viewer)
    here.get("/account/sessions/")
    noted = UserSession.objects.get().last_seen_at
    here.get("/account/sessions/")
    assert UserSession.objects.get().last_seen_at == noted
    session = here.session
    session["seen"] = [session.session_key, session["seen"][1] - 11 * 60]
    session.save()
    here.get("/account/sessions/")
    assert UserSession.objects.get().last_seen_at > noted


@pytest.mark.parametrize("page", ["end-others/", "1/end/"])
def test_opening_the_address_signs_nobody_out(as_viewer, page):
    assert as_viewer.get(f"/account/sessions/{page}").status_code == 405
