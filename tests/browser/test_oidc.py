"""Sign-in by OpenID Connect in a real browser: to a provider that runs here, and back."""

import pytest
from playwright.sync_api import Page, expect

from finetune_app.accounts import services
from finetune_app.accounts.models import Role
from finetune_app.accounts.oidc import oidc_from
from tests.accounts.provider import running_provider
from tests.browser.conftest import listen
from tests.browser.steps import look, press

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def provider(settings):
    with running_provider() as provider:
        environment = {
            "OIDC_ISSUER": provider.issuer,
            "OIDC_CLIENT_ID": "finetune",
            "OIDC_CLIENT_SECRET": "the client's own secret",
            "OIDC_NAME": "Kettle ID",
        }
        settings.OIDC = oidc_from(environment)
        settings.SOCIALACCOUNT_PROVIDERS = settings.OIDC.allauth_settings
        yield provider


@pytest.fixture
def page(new_context, live_server, owner) -> Page:
    return new_context(reduced_motion="reduce").new_page()


def say_who(page: Page, subject: str) -> None:
    """On the provider's own page."""
    expect(page.get_by_role("heading", name="Authorize Client")).to_be_visible()
    page.get_by_placeholder("sub").fill(subject)
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_load_state()


def test_an_invited_person_joins_and_comes_back(provider, page, live_server, owner, team):
    provider.knows("nils", email="nils@kettle.example", email_verified=True, name="Nils")
    _made, secret = services.invite(team=team, role=Role.EDITOR, by=owner)
    wrong = listen(page)
    page.goto(f"{live_server.url}/join/{secret}/")
    look(page, "join-with-provider")
    press(page, "^Join with Kettle ID")
    say_who(page, "nils")
    press(page, "^Join as Nils")
    expect(page.get_by_text("Welcome to Kettle Lane Cycles.")).to_be_visible()
    page.goto(f"{live_server.url}/account/")
    look(page, "account-without-password")

    page.context.clear_cookies()
    page.goto(f"{live_server.url}/sign-in/")
    look(page, "sign-in-with-provider")
    press(page, "^Sign in with Kettle ID")
    say_who(page, "nils")
    expect(page.locator("form[data-signs-out]")).to_be_attached()
    page.goto(f"{live_server.url}/account/confirm/provider/")
    look(page, "confirm-with-provider")
    assert [words for words in wrong if "localhost" in words] == []


def test_somebody_unknown_reads_what_to_do(provider, page, live_server):
    provider.knows("eve", email="eve@other.example", email_verified=True)
    page.goto(f"{live_server.url}/sign-in/")
    press(page, "^Sign in with Kettle ID")
    say_who(page, "eve")
    expect(page.get_by_text("Ask the owner of a team for an invitation link")).to_be_visible()
    look(page, "sign-in-unknown")
