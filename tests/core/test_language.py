"""Pages are in English only, whatever the browser asks for."""

import pytest


@pytest.mark.django_db
@pytest.mark.parametrize("wanted", ["en-US,en;q=0.9", "de-DE,de;q=0.9", "en", ""])
def test_every_browser_gets_the_language_there_is(client, wanted):
    reply = client.get("/sign-in/", headers={"accept-language": wanted})
    assert reply["Content-Language"] == "en-gb"
