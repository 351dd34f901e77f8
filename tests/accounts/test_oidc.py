"""Sign-in by OpenID Connect, against a provider that runs here: who comes in, and who does not."""

import base64
import hashlib
import logging
from collections.abc import Iterator
from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.core.management import call_command
from django.test import Client

from finetune_app.accounts import oidc_adapter, services
from finetune_app.accounts.models import Role, User
from finetune_app.accounts.oidc import CONFIRMED_AT, oidc_from
from tests.accounts.authenticator_app import add_app, code_of, confirmed
from tests.accounts.pages import is_signed_in, text
from tests.accounts.provider import (
    CALLBACK,
    SIGN_IN,
    Provider,
    parameters,
    path_of,
    running_provider,
)
from tests.conftest import PASSWORD

SECRET = "the client's own secret"


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture
def configure(running, settings):
    """configure(ALLOWED_DOMAINS="kettle.example") sets the environment's variables."""

    def set_up(**variables: str) -> Provider:
        given = {"ISSUER": running.issuer, "CLIENT_ID": "finetune", "CLIENT_SECRET": SECRET}
        given |= {"NAME": "Kettle ID"} | variables
        settings.OIDC = oidc_from({f"OIDC_{name}": value for name, value in given.items()})
        settings.SOCIALACCOUNT_PROVIDERS = settings.OIDC.allauth_settings
        return running

    return set_up


@pytest.fixture
def provider(configure) -> Provider:
    """Only who has an account or an invitation comes in."""
    found: Provider = configure()
    found.knows("mara", email="mara@kettle.example", email_verified=True, name="Mara")
    found.knows("nils", email="nils@kettle.example", email_verified=True, name="Nils")
    found.knows("unconfirmed", email="mara@kettle.example", email_verified=False)
    return found


# ---- Who has an account ----


def test_the_owner_of_the_confirmed_address_signs_in(provider, owner, client):
    response = provider.sign_in(client, "mara", next_page="/team/")
    assert response["Location"] == "/team/"
    assert client.get("/account/").context["user"] == owner


def test_the_first_time_the_password_ends_and_the_page_says_so(provider, owner, client):
    elsewhere = confirmed(owner)
    provider.sign_in(client, "mara")
    assert "Your password has ended" in text(client.get("/account/sessions/"))
    owner.refresh_from_db()
    assert not owner.has_usable_password()
    assert not is_signed_in(elsewhere)


def test_the_second_time_the_account_is_found_by_the_providers_own_number(provider, owner, client):
    provider.sign_in(client, "mara")
    provider.knows("mara", email="mara.new@kettle.example", email_verified=True)
    other = Client()
    provider.sign_in(other, "mara")
    assert other.get("/account/").context["user"] == owner
    owner.refresh_from_db()
    assert owner.email == "mara.new@kettle.example"  # nobody finds them by the old one any more
    assert User.objects.count() == 1


def test_an_address_that_somebody_else_has_here_is_not_taken_over(provider, owner, editor, client):
    provider.sign_in(client, "mara")
    provider.knows("mara", email=editor.email, email_verified=True)
    other = Client()
    provider.sign_in(other, "mara")
    assert other.get("/account/").context["user"] == owner
    owner.refresh_from_db()
    assert owner.email == "mara@kettle.example"


def test_who_is_given_an_address_of_somebody_else_does_not_get_their_account(
    provider, owner, client
):
    """Its owner has not been here since the provider gave it to another person."""
    provider.sign_in(client, "mara")
    provider.knows("eve", email="mara@kettle.example", email_verified=True)
    other = Client()
    assert provider.sign_in(other, "eve")["Location"] == "/sign-in/"
    assert "belongs to somebody else at Kettle ID" in text(other.get("/sign-in/"))
    assert not is_signed_in(other)
    assert is_signed_in(client)
    assert SocialAccount.objects.get().uid == "mara"


def test_the_operator_parts_an_account_from_its_provider(provider, owner, client):
    """As where the provider was set up anew and has another number for everybody."""
    provider.sign_in(client, "mara")
    call_command("reset_password", owner.email, stdout=StringIO())
    provider.knows("mara-2", email="mara@kettle.example", email_verified=True)
    other = Client()
    provider.sign_in(other, "mara-2")
    assert other.get("/account/").context["user"] == owner


def test_an_address_that_the_provider_did_not_confirm_opens_nothing(provider, owner, client):
    response = provider.sign_in(client, "unconfirmed")
    assert response["Location"] == "/sign-in/"
    assert "has not confirmed your e-mail address" in text(client.get("/sign-in/"))
    assert not is_signed_in(client)
    assert not SocialAccount.objects.exists()


def test_a_provider_that_confirms_silently_can_be_trusted(configure, owner, client):
    provider = configure(TRUSTS_EMAIL="1")
    provider.knows("entra", email="mara@kettle.example")
    provider.sign_in(client, "entra")
    assert client.get("/account/").context["user"] == owner


def test_the_second_factor_is_asked_for_after_the_provider(provider, owner, client):
    secret = add_app(confirmed(owner))
    assert provider.sign_in(client, "mara")["Location"] == "/sign-in/code/"
    assert not is_signed_in(client)
    client.post("/sign-in/code/", {"code": code_of(secret, 1)})
    assert is_signed_in(client)


def test_a_closed_account_stays_closed(provider, owner, client):
    owner.is_active = False
    owner.save()
    provider.sign_in(client, "mara")
    assert "This account is closed" in text(client.get("/sign-in/"))
    assert not is_signed_in(client)


# ---- Who has none ----


def test_a_stranger_is_told_to_ask_for_an_invitation(provider, owner, client):
    response = provider.sign_in(client, "nils")
    assert response["Location"] == "/sign-in/"
    assert "Ask the owner of a team for an invitation link" in text(client.get("/sign-in/"))
    assert not is_signed_in(client)
    assert User.objects.count() == 1


def test_an_invitation_lets_a_stranger_in_and_is_accepted_with_a_click(
    provider, owner, team, client
):
    _made, secret = services.invite(team=team, role=Role.EDITOR, by=owner)
    join = f"/join/{secret}/"
    page = text(client.get(join))
    assert "Join with Kettle ID" in page
    assert provider.sign_in(client, "nils", next_page=join)["Location"] == join
    client.post(join)
    nils = User.objects.get(email="nils@kettle.example")
    assert (nils.name, nils.memberships.get().role) == ("Nils", Role.EDITOR)
    assert not nils.has_usable_password()


@pytest.mark.parametrize("used", ["withdrawn", "made up"])
def test_an_invitation_that_is_none_lets_nobody_in(provider, owner, team, client, used):
    invitation, secret = services.invite(team=team, role=Role.EDITOR, by=owner)
    if used == "withdrawn":
        services.withdraw(invitation=invitation)
    else:
        secret = "made-up"
    provider.sign_in(client, "nils", next_page=f"/join/{secret}/")
    assert not is_signed_in(client)
    assert User.objects.count() == 1


def test_people_of_an_allowed_domain_join_by_themselves(configure, owner, client):
    provider = configure(ALLOWED_DOMAINS="other.example, Kettle.example")
    provider.knows("nils", email="Nils@Kettle.Example", email_verified=True)
    provider.sign_in(client, "nils")
    assert is_signed_in(client)
    assert client.get("/team/")["Location"] == "/teams/new/"
    assert User.objects.get(email="nils@kettle.example").name == "nils"


@pytest.mark.parametrize("email", ["n@evil-kettle.example", "n@kettle.example.evil", "n@evil"])
def test_a_domain_that_only_looks_like_it_is_another(configure, owner, client, email):
    provider = configure(ALLOWED_DOMAINS="kettle.example")
    provider.knows("evil", email=email, email_verified=True)
    provider.sign_in(client, "evil")
    assert not is_signed_in(client)


def test_an_address_that_was_given_up_opens_its_old_account_no_more(configure, owner, client):
    provider = configure(ALLOWED_DOMAINS="kettle.example")
    provider.knows("nils", email="shop@kettle.example", email_verified=True)
    provider.sign_in(client, "nils")
    nils = User.objects.get(email="shop@kettle.example")
    provider.knows("nils", email="nils@kettle.example", email_verified=True)
    provider.sign_in(client, "nils")
    provider.knows("eve", email="shop@kettle.example", email_verified=True)
    other = Client()
    provider.sign_in(other, "eve")
    assert other.get("/account/").context["user"] != nils


def test_a_new_account_signs_in_again_before_a_second_factor(configure, owner, client):
    provider = configure(ALLOWED_DOMAINS="kettle.example")
    provider.knows("nils", email="nils@kettle.example", email_verified=True)
    provider.sign_in(client, "nils")
    response = client.get("/account/second-factor/app/")
    assert response["Location"].startswith("/account/confirm/provider/")


# ---- The way there and back ----


def test_the_request_uses_pkce_and_the_secret_stays_between_the_two(provider, owner, client):
    there = client.get(SIGN_IN)["Location"]
    asked = parameters(there)
    assert asked["code_challenge_method"] == "S256"
    assert SECRET not in there
    client.get(path_of(provider.send_back(there, "mara")))
    given = provider.token_requests[-1]
    digest = hashlib.sha256(given["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == asked["code_challenge"]
    assert is_signed_in(client)


def test_an_answer_works_once_and_in_its_own_browser(provider, owner, client):
    there = client.get(SIGN_IN)["Location"]
    back = path_of(provider.send_back(there, "mara"))
    other = Client()
    assert other.get(back)["Location"] == "/sign-in/"
    assert not is_signed_in(other)
    client.get(back)
    assert is_signed_in(client)
    client.post("/sign-out/")
    client.get(back)
    assert not is_signed_in(client)


@pytest.mark.parametrize("query", ["", "?code=x", "?code=x&state=y", "?error=server_error&state=y"])
def test_an_answer_that_nobody_asked_for_signs_nobody_in(provider, owner, client, query):
    assert client.get(CALLBACK + query)["Location"] == "/sign-in/"
    assert "did not work" in text(client.get("/sign-in/"))


def test_who_refuses_at_the_provider_comes_back_to_the_sign_in_page(provider, owner, client):
    there = client.get(SIGN_IN)["Location"]
    assert client.get(path_of(provider.deny(there)))["Location"] == "/sign-in/"


def test_a_made_up_code_signs_nobody_in_and_leaves_a_line_without_secrets(
    provider, owner, client, caplog
):
    caplog.set_level(logging.INFO)
    state = parameters(client.get(SIGN_IN)["Location"])["state"]
    response = client.get(CALLBACK, {"code": "made-up-code", "state": state})
    assert response["Location"] == "/sign-in/"
    assert "Failed sign-in by OpenID Connect from 127.0.0.1" in caplog.text
    for secret in (SECRET, "made-up-code", state):
        assert secret not in caplog.text


def test_a_provider_that_is_away_is_said_in_a_sentence(configure, owner, client):
    configure(ISSUER="http://127.0.0.1:9")
    assert client.get(SIGN_IN)["Location"] == "/sign-in/"
    assert "Signing in with Kettle ID did not work" in text(client.get("/sign-in/"))


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "javascript:x"])
def test_it_never_leads_to_another_site(provider, owner, client, elsewhere):
    assert provider.sign_in(client, "mara", next_page=elsewhere)["Location"] == "/"


def test_other_methods_and_other_providers_are_refused(provider, owner, client):
    assert client.post(SIGN_IN).status_code == 405
    assert client.post(CALLBACK).status_code == 405
    assert client.get("/sign-in/github/").status_code == 404
    assert client.get("/sign-in/github/callback/").status_code == 404


# ---- An account without a password ----


@pytest.fixture
def browser(provider, owner, client) -> Client:
    """The owner's, signed in with the provider."""
    provider.sign_in(client, "mara")
    return client


def sign_in_again(provider: Provider, browser: Client, subject: str = "mara") -> None:
    there = browser.get(SIGN_IN, {"again": "1", "next": "/account/second-factor/app/"})
    assert parameters(there["Location"])["prompt"] == "login"
    browser.get(path_of(provider.send_back(there["Location"], subject)))


def long_ago(browser: Client) -> None:
    session = browser.session
    session[CONFIRMED_AT] -= 11 * 60
    session.save()


def test_its_address_is_the_providers_to_change(browser, owner):
    assert "New password" not in text(browser.get("/account/"))
    browser.post("/account/", {"name": "Mara B.", "email": "other@kettle.example"})
    owner.refresh_from_db()
    assert (owner.name, owner.email) == ("Mara B.", "mara@kettle.example")


def test_a_second_factor_is_added_soon_after_signing_in_again(browser, provider):
    sign_in_again(provider, browser)
    add_app(browser)
    assert Authenticator.objects.exists()


def test_signing_in_is_not_enough_where_the_provider_asks_nobody(browser, provider):
    """It lets in who is signed in there; so may somebody at a computer that was left unlocked."""
    for _way in ("still signed in here", "signed out and in"):
        provider.sign_in(browser, "mara", next_page="/account/second-factor/app/")
        response = browser.get("/account/second-factor/app/")
        assert response["Location"].startswith("/account/confirm/provider/")
        browser.post("/sign-out/")


def test_a_provider_that_asked_nobody_and_says_so_confirms_nothing(browser, provider, monkeypatch):
    monkeypatch.setattr(oidc_adapter, "REAUTHENTICATION_TIMEOUT", -1)  # it said: a moment ago
    sign_in_again(provider, browser)
    assert CONFIRMED_AT not in browser.session


@pytest.mark.parametrize("told", ["a while ago", [], {"at": 1}])
def test_a_time_that_is_none_confirms_nothing(told):
    account = SocialAccount(extra_data={"id_token": {"auth_time": told}})
    assert not oidc_adapter.were_asked_lately(account)


def test_somebody_else_at_the_provider_confirms_nothing(browser, provider, owner, editor):
    add_app(confirmed(editor))  # so that their sign-in waits for a code
    provider.knows("jonas", email=editor.email, email_verified=True)
    sign_in_again(provider, browser, "jonas")
    assert CONFIRMED_AT not in browser.session


def test_later_it_signs_in_again_first(browser, provider):
    sign_in_again(provider, browser)
    long_ago(browser)
    response = browser.get("/account/second-factor/app/")
    assert response["Location"].startswith("/account/confirm/provider/?next=")
    assert "Sign in again" in text(browser.get(response["Location"]))
    sign_in_again(provider, browser)
    assert browser.get("/account/second-factor/app/").status_code == 200


def test_it_is_deleted_after_signing_in_again(browser, owner):
    response = browser.post("/account/delete/", {"sure": "yes"})
    assert response["Location"].startswith("/account/confirm/provider/")
    assert User.objects.exists()


def test_it_is_deleted_with_what_the_provider_said(browser, provider):
    sign_in_again(provider, browser)
    browser.post("/account/delete/", {"sure": "yes"})
    assert not User.objects.exists()
    assert not SocialAccount.objects.exists()


def test_no_password_opens_it(browser, owner):
    other = Client()
    for password in ("", PASSWORD, "!"):
        other.post("/sign-in/", {"email": owner.email, "password": password})
    assert not is_signed_in(other)
