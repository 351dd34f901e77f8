"""Changing the password keeps this session and ends the others."""

import pytest
from axes.models import AccessAttempt

from tests.accounts.pages import LONG_PASSWORD, is_signed_in, sign_in, text
from tests.conftest import PASSWORD

CHANGE = {"old": PASSWORD, "new": LONG_PASSWORD}


def test_this_session_stays_and_the_others_end(viewer):
    here, elsewhere = sign_in(viewer), sign_in(viewer)
    assert here.post("/account/password/", CHANGE)["Location"] == "/account/"
    assert is_signed_in(here)
    assert not is_signed_in(elsewhere)
    assert is_signed_in(sign_in(viewer, LONG_PASSWORD))


def test_the_session_id_changes(viewer):
    browser = sign_in(viewer)
    before = browser.cookies["sessionid"].value
    browser.post("/account/password/", CHANGE)
    assert browser.cookies["sessionid"].value != before


def test_without_the_old_password_nothing_changes(as_viewer, viewer):
    response = as_viewer.post("/account/password/", CHANGE | {"old": "a guess"})
    assert response.status_code == 422
    assert "not your password" in text(response)
    viewer.refresh_from_db()
    assert viewer.check_password(PASSWORD)


def test_guessing_the_old_password_locks_the_account(as_viewer, viewer):
    for _try in range(8):
        response = as_viewer.post("/account/password/", CHANGE | {"old": "a guess"})
    assert response.status_code == 429
    assert as_viewer.post("/account/password/", CHANGE).status_code == 429
    viewer.refresh_from_db()
    assert viewer.check_password(PASSWORD)


def test_a_weak_password_is_refused_with_the_reason(as_viewer, viewer):
    response = as_viewer.post("/account/password/", CHANGE | {"new": "short"})
    assert response.status_code == 422
    assert "too short" in text(response)
    viewer.refresh_from_db()
    assert viewer.check_password(PASSWORD)


def test_a_get_request_changes_nothing(as_viewer):
    assert as_viewer.get("/account/password/").status_code == 405


def test_the_log_of_failed_sign_ins_holds_no_password(as_viewer):
    as_viewer.post("/account/password/", {"old": "nearly my password", "new": LONG_PASSWORD})
    kept = str([vars(attempt) for attempt in AccessAttempt.objects.all()])
    assert "vera@kettle.example" in kept
    assert "nearly" not in kept
    assert "four ordinary" not in kept


@pytest.mark.parametrize(
    "guessable",
    ["Summer2026!", "finetune-finetune", "vera2026vera", "qwertyuiop12", "xxxxxxxxxxxx"],
)
def test_a_password_that_is_easy_to_guess_is_rejected(as_viewer, guessable):
    response = as_viewer.post("/account/password/", CHANGE | {"new": guessable})
    assert response.status_code == 422
    assert "easy to guess" in text(response)
