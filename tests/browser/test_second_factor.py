"""A second factor in a real browser: codes of an app, recovery codes, a passkey."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.accounts.authenticator_app import code_of
from tests.browser.conftest import listen
from tests.browser.steps import look, press
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)

DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def page(new_context, live_server, owner) -> Iterator[Page]:
    """A browser at the sign-in page; nothing may go wrong in it."""
    context: BrowserContext = new_context()
    page = context.new_page()
    wrong = listen(page)
    page.emulate_media(reduced_motion="reduce")  # axe meets no colour on its way
    page.goto(f"{live_server.url}/sign-in/")
    yield page
    assert [words for words in wrong if "422" not in words] == []


def add_device(page: Page) -> None:
    """A device that keeps passkeys and knows its person."""
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    devices.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})


def give_password(page: Page, email: str) -> None:
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    press(page, "^Sign in$")


def confirm(page: Page) -> None:
    expect(page.get_by_role("heading", name="Is it still you?")).to_be_visible()
    page.get_by_label("Your password").fill(PASSWORD)
    press(page, "^Continue$")


def sign_out(page: Page, server: str) -> None:
    page.context.clear_cookies()
    page.goto(f"{server}/sign-in/")


def test_codes_of_an_app(page, live_server, owner):
    give_password(page, owner.email)
    page.goto(f"{live_server.url}/account/")
    look(page, "account")
    press(page, "^Change the second factor")
    look(page, "second-factor-off")
    press(page, "^Add an app")
    look(page, "confirm-with-password")
    confirm(page)
    secret = page.get_by_label("The same key, to type").input_value()
    look(page, "add-app")
    page.get_by_label("Code").fill(code_of(secret))
    press(page, "^Add the app")
    expect(page.get_by_role("heading", name="Where will you keep these?")).to_be_visible()
    recovery = page.locator("#codes").inner_text().split()
    assert len(recovery) == 10
    look(page, "recovery-codes")
    press(page, "^I have them")
    look(page, "second-factor-on")

    sign_out(page, live_server.url)
    give_password(page, owner.email)
    look(page, "sign-in-code")
    page.get_by_label("Code of your app").fill("000000")
    press(page, "^Sign in$")
    expect(page.get_by_text("That was not accepted")).to_be_visible()
    page.get_by_label("Code of your app").fill(code_of(secret, 1))
    press(page, "^Sign in$")
    expect(page.locator("form[data-signs-out]")).to_be_attached()

    sign_out(page, live_server.url)
    give_password(page, owner.email)
    page.get_by_label("Code of your app").fill(recovery[0])
    press(page, "^Sign in$")
    page.goto(f"{live_server.url}/account/sessions/")
    expect(page.get_by_text("Chrome on Linux").first).to_be_visible()
    look(page, "sessions")
    page.goto(f"{live_server.url}/team/")
    press(page, "^Ask every member for one")
    expect(page.get_by_text("Every member needs one")).to_be_visible()
    look(page, "team-asks")


def test_a_passkey(page, live_server, owner):
    add_device(page)
    give_password(page, owner.email)
    page.goto(f"{live_server.url}/account/second-factor/")
    press(page, "^Add a passkey")
    confirm(page)
    look(page, "add-passkey")
    page.get_by_label("Name").fill("My laptop")
    press(page, "^Add the passkey")
    expect(page.get_by_role("heading", name="Where will you keep these?")).to_be_visible()
    press(page, "^I have them")
    expect(page.get_by_text("My laptop").first).to_be_visible()

    sign_out(page, live_server.url)
    look(page, "sign-in-with-passkey")
    press(page, "^Sign in with a passkey")
    expect(page.locator("form[data-signs-out]")).to_be_attached()

    sign_out(page, live_server.url)
    give_password(page, owner.email)
    press(page, "^Use a passkey")
    expect(page.locator("form[data-signs-out]")).to_be_attached()

    page.goto(f"{live_server.url}/account/second-factor/")
    press(page, "^Remove My laptop")
    press(page, "^Use a passkey")
    expect(page.get_by_role("button", name="Use a passkey")).to_be_visible()
    look(page, "confirm-with-passkey")
    press(page, "^Use a passkey")
    expect(page.get_by_role("heading", name="Remove My laptop?")).to_be_visible()
    look(page, "remove-passkey")
    press(page, "^Remove the passkey")
    expect(page.get_by_text("The passkey is removed.")).to_be_visible()
    expect(page.get_by_text("My laptop")).to_have_count(0)


def test_a_browser_without_a_passkey_says_so(page, new_context, live_server, owner):
    add_device(page)
    give_password(page, owner.email)
    page.goto(f"{live_server.url}/account/second-factor/passkey/")
    confirm(page)
    press(page, "^Add the passkey")
    expect(page.get_by_role("heading", name="Where will you keep these?")).to_be_visible()
    elsewhere = new_context().new_page()
    add_device(elsewhere)
    elsewhere.goto(f"{live_server.url}/sign-in/")
    press(elsewhere, "^Sign in with a passkey")
    expect(elsewhere.get_by_text("Your browser gave no passkey")).to_be_visible(timeout=60_000)
    look(elsewhere, "sign-in-no-passkey")
