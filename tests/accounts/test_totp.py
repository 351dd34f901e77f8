"""Codes of an authenticator app: adding it, signing in with a code, recovery codes, removing it."""

from urllib.parse import quote

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import call_command
from django.test import Client

from finetune_app.audit.models import AuditEntry
from tests.accounts.authenticator_app import add_app, code_of, confirmed, give_password
from tests.accounts.pages import is_signed_in, text
from tests.conftest import PASSWORD

CODE = "/sign-in/code/"
APP = "/account/second-factor/app/"
CODES = "/account/second-factor/recovery-codes/"


@pytest.fixture
def browser(viewer) -> Client:
    """The viewer's browser, with the app added."""
    return confirmed(viewer)


@pytest.fixture
def secret(browser) -> str:
    return add_app(browser)


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))


# ---- Adding ----


def test_adding_an_app_asks_for_the_password_first(as_viewer):
    assert as_viewer.get(APP)["Location"] == f"/account/confirm/?next={quote(APP, safe='')}"
    assert not Authenticator.objects.exists()


def test_an_app_is_added_with_its_first_code_and_recovery_codes_are_shown_once(browser, secret):
    page = browser.get(CODES)
    codes = page.context["unused_codes"]
    assert len(codes) == 10
    assert all(code in text(page) for code in codes)
    again = text(browser.get(CODES))
    assert not any(code in again for code in codes)
    assert "10 of them still work" in " ".join(again.split())


def test_a_wrong_first_code_adds_nothing(browser):
    browser.get(APP)
    response = browser.post(APP, {"code": "12345"})
    assert response.status_code == 422
    assert "not accepted" in text(response)
    assert not Authenticator.objects.exists()


def test_the_database_holds_neither_the_key_nor_the_recovery_codes(browser, secret):
    codes = browser.get(CODES).context["unused_codes"]
    kept = str([row.data for row in Authenticator.objects.all()])
    assert secret not in kept
    assert not any(code in kept for code in codes)


@pytest.mark.django_db(transaction=True)
def test_adding_and_removing_leave_lines_in_the_audit_log(browser):
    add_app(browser)
    assert actions()[-1] == "account.second_factor_added"
    browser.post(f"{APP}remove/")
    assert actions()[-1] == "account.second_factor_removed"


# ---- Signing in ----


def test_after_the_password_comes_the_code(viewer, secret):
    other = give_password(viewer)
    assert not is_signed_in(other)
    assert other.get("/team/").status_code == 302
    response = other.post(CODE, {"code": code_of(secret, 1)})
    assert response["Location"] == "/team/"
    assert is_signed_in(other)


def test_the_session_id_changes(viewer, secret):
    other = give_password(viewer)
    before = other.cookies["sessionid"].value
    other.post(CODE, {"code": code_of(secret, 1)})
    assert other.cookies["sessionid"].value != before


def test_a_wrong_code_signs_nobody_in(viewer, secret):
    other = give_password(viewer)
    response = other.post(CODE, {"code": "000000"})
    assert response.status_code == 422
    assert "not accepted" in text(response)
    assert not is_signed_in(other)


def test_a_code_works_once(viewer, secret):
    code = code_of(secret, 1)
    give_password(viewer).post(CODE, {"code": code})
    other = give_password(viewer)
    assert other.post(CODE, {"code": code}).status_code == 422
    assert not is_signed_in(other)


def test_an_old_code_is_refused(viewer, secret):
    other = give_password(viewer)
    assert other.post(CODE, {"code": code_of(secret, -3)}).status_code == 422
    assert not is_signed_in(other)


def test_after_five_wrong_codes_even_the_right_one_waits_from_any_address(viewer, secret):
    other = give_password(viewer)
    for _try in range(5):
        other.post(CODE, {"code": "000000"})
    elsewhere = give_password(viewer)
    response = elsewhere.post(CODE, {"code": code_of(secret, 1)}, REMOTE_ADDR="192.0.2.7")
    assert "Too many tries" in text(response)
    assert not is_signed_in(elsewhere)


def test_a_wrong_code_counts_as_a_failed_sign_in(viewer, secret, caplog):
    give_password(viewer).post(CODE, {"code": "000000"})
    assert f"Failed sign-in from 127.0.0.1 to account {viewer.pk}" in caplog.text
    assert "000000" not in caplog.text
    assert actions()[-1] == "account.sign_in_failed"


def test_without_the_password_nobody_is_asked_for_a_code(client, secret):
    assert client.get(CODE)["Location"] == "/sign-in/"
    assert client.post(CODE, {"code": code_of(secret, 1)})["Location"] == "/sign-in/"
    assert not is_signed_in(client)


def test_the_code_of_another_person_does_not_do(viewer, owner, secret):
    of_the_owner = add_app(confirmed(owner))
    other = give_password(viewer)
    assert other.post(CODE, {"code": code_of(of_the_owner, 1)}).status_code == 422
    assert not is_signed_in(other)


def test_a_recovery_code_signs_in_once(viewer, browser, secret):
    recovery = browser.get(CODES).context["unused_codes"][0]
    other = give_password(viewer)
    other.post(CODE, {"code": recovery})
    assert is_signed_in(other)
    again = give_password(viewer)
    assert again.post(CODE, {"code": recovery}).status_code == 422
    assert not is_signed_in(again)


def test_an_account_that_was_closed_meanwhile_stays_out(viewer, secret):
    other = give_password(viewer)
    viewer.is_active = False
    viewer.save()
    other.post(CODE, {"code": code_of(secret, 1)})
    assert not is_signed_in(other)


def test_while_the_broker_is_away_a_sentence_says_so(viewer, secret, settings):
    other = give_password(viewer)
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "unix:///nowhere/broker.sock",
        }
    }
    response = other.post(CODE, {"code": code_of(secret, 1)})
    assert response.status_code == 503
    assert "Redis does not answer" in text(response)
    assert not is_signed_in(other)


# ---- Afterwards ----


def test_new_recovery_codes_replace_the_old_ones(browser, viewer, secret):
    old = browser.get(CODES).context["unused_codes"]
    assert browser.post(f"{CODES}new/")["Location"] == CODES
    new = browser.get(CODES).context["unused_codes"]
    assert not set(old) & set(new)
    assert give_password(viewer).post(CODE, {"code": old[0]}).status_code == 422


def test_without_the_app_the_password_is_enough_again(browser, viewer, secret):
    assert browser.post(f"{APP}remove/")["Location"] == "/account/second-factor/"
    assert not Authenticator.objects.exists()
    other = Client()
    other.post("/sign-in/", {"email": viewer.email, "password": PASSWORD})
    assert is_signed_in(other)


def test_a_code_confirms_too(viewer, secret):
    other = give_password(viewer)
    other.post(CODE, {"code": code_of(secret, 1)})
    form = {"code": code_of(secret, -1), "next": f"{APP}remove/"}
    assert other.post("/account/confirm/code/", form)["Location"] == f"{APP}remove/"
    assert other.get(f"{APP}remove/").status_code == 200


def test_the_shell_removes_a_lost_second_factor_with_the_password(viewer, secret, monkeypatch):
    monkeypatch.setenv("FINETUNE_PASSWORD", "four ordinary plain words")
    call_command("reset_password", viewer.email)
    assert Authenticator.objects.exists()
    call_command("reset_password", viewer.email, "--second-factor")
    assert not Authenticator.objects.exists()


def test_the_second_factor_goes_with_the_account(viewer, browser, secret):
    browser.post("/account/delete/", {"password": PASSWORD})
    assert not Authenticator.objects.exists()


def test_other_methods_are_refused(as_viewer):
    for address in (CODE, APP, CODES, f"{CODES}new/", "/account/confirm/code/"):
        assert as_viewer.put(address).status_code == 405
