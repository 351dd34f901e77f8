"""The environment's variables for sign-in by OpenID Connect."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from finetune_app.accounts.oidc import OidcError, oidc_from
from tests.accounts.pages import text

GIVEN = {
    "OIDC_ISSUER": "https://id.kettle.example/realms/shop/",
    "OIDC_CLIENT_ID": "finetune",
    "OIDC_CLIENT_SECRET": "the client's own secret",
}


def test_without_them_there_is_no_provider():
    assert oidc_from({}) is None


def test_three_are_enough():
    found = oidc_from(GIVEN)
    assert (found.name, found.domains) == ("id.kettle.example", frozenset())
    (app,) = found.allauth_settings["openid_connect"]["APPS"]
    assert app["settings"]["server_url"] == "https://id.kettle.example/realms/shop"
    assert app["settings"]["oauth_pkce_enabled"] is True
    assert app["settings"]["verified_email"] is False


def test_the_secret_is_not_in_what_a_log_would_show():
    assert "own secret" not in repr(oidc_from(GIVEN))


@pytest.mark.parametrize("missing", GIVEN)
def test_one_that_is_missing_is_named(missing):
    with pytest.raises(OidcError, match=missing):
        oidc_from({name: value for name, value in GIVEN.items() if name != missing})


@pytest.mark.parametrize("issuer", ["id.kettle.example", "http://id.kettle.example", "https://"])
def test_the_provider_is_reached_by_https(issuer):
    with pytest.raises(OidcError, match="https://"):
        oidc_from(GIVEN | {"OIDC_ISSUER": issuer})


def test_a_provider_on_this_computer_may_do_without():
    assert oidc_from(GIVEN | {"OIDC_ISSUER": "http://localhost:8080"}) is not None


@pytest.mark.parametrize(
    "listed", ["kettle.example,shop.example", "@Shop.Example, @kettle.example,"]
)
def test_domains_are_taken_with_or_without_the_at(listed):
    found = oidc_from(GIVEN | {"OIDC_ALLOWED_DOMAINS": listed})
    assert found.domains == {"kettle.example", "shop.example"}


@pytest.mark.parametrize("listed", ["*.shop.example", "anna@shop.example", "a.example b.example"])
def test_what_is_no_domain_is_refused(listed):
    with pytest.raises(OidcError, match=r"OIDC_ALLOWED_DOMAINS lists .* no domain"):
        oidc_from(GIVEN | {"OIDC_ALLOWED_DOMAINS": listed})


def test_trust_is_said_with_yes_or_no():
    assert oidc_from(GIVEN | {"OIDC_TRUSTS_EMAIL": "true"}).trusts_email is True
    assert oidc_from(GIVEN | {"OIDC_TRUSTS_EMAIL": "0"}).trusts_email is False
    with pytest.raises(ImproperlyConfigured, match="OIDC_TRUSTS_EMAIL is 'maybe'"):
        oidc_from(GIVEN | {"OIDC_TRUSTS_EMAIL": "maybe"})


def test_a_mistake_ends_the_start_with_a_sentence(tmp_path):
    environment = {name: value for name, value in os.environ.items() if "OIDC" not in name}
    environment |= {"DATA_DIR": str(tmp_path), "OIDC_ISSUER": "https://id.kettle.example"}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "OIDC_CLIENT_ID" in done.stderr
    assert "docs/sign-in.md" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_none_is_configured_no_page_speaks_of_one(client, owner, settings):
    assert "Sign in with Kettle ID" in text(client.get("/sign-in/"))
    settings.OIDC = None
    assert "Sign in with" not in text(client.get("/sign-in/"))
