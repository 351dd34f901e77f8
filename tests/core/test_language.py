"""Pages are in English only, whatever the browser asks for."""

import pytest


@pytest.mark.parametrize("wanted", ["en-US,en;q=0.9", "de-DE,de;q=0.9", "en", ""])
def test_every_browser_gets_the_language_there_is(client, owner, wanted):
    page = client.get("/sign-in/", headers={"accept-language": wanted}).content.decode()
    assert '<html lang="en-gb"' in page
    assert "Password" in page
