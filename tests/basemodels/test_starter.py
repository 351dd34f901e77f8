"""The page while this host prepares the starter model: it waits, and says what keeps it."""

import json

import pytest

from finetune_app.basemodels import starter_install
from finetune_app.basemodels.catalogue import STARTER
from tests.basemodels.conftest import laid

HTMX = {"HX-Request": "true"}


@pytest.fixture
def say(db):
    """Somebody installs it; the function tells pages of a problem."""
    with starter_install.installing() as say:
        yield say


def test_the_page_waits_for_it(as_owner, url, say):
    page = as_owner.get(url("page")).content.decode()
    assert "Your first model is on its way." in page
    assert f'hx-get="{url("starter")}"' in page
    assert "You can go on as soon as your first model is here." in page
    assert "manage.py prepare" not in page


def test_a_viewer_sees_it_too(as_viewer, url, say):
    reply = as_viewer.get(url("starter"), headers=HTMX)
    assert f'hx-get="{url("starter")}"' in reply.content.decode()
    assert "HX-Trigger" not in reply


def test_what_keeps_it_is_said_and_that_it_goes_on(as_owner, url, say):
    say("The starter model could not be fetched. Check the <network>.")
    part = as_owner.get(url("starter"), headers=HTMX).content.decode()
    assert "Check the &lt;network&gt;." in part
    assert "Finetune keeps trying." in part
    assert "on its way" not in part


def test_when_it_is_there_the_page_shows_the_models(as_owner, url, say):
    laid(STARTER, name="SmolLM2 135M")
    reply = as_owner.get(url("starter"), headers=HTMX)
    assert json.loads(reply["HX-Trigger"]) == {"installed": STARTER}
    assert "hx-get" not in reply.content.decode()
    page = as_owner.get(url("page"), headers=HTMX).content.decode()
    assert "Use SmolLM2 135M" in page
    assert "on its way" not in page


def test_when_nobody_installs_it_any_more_the_page_offers_to(as_owner, url, db):
    reply = as_owner.get(url("starter"), headers=HTMX)
    assert json.loads(reply["HX-Trigger"]) == {"installed": STARTER}
    assert "No model is installed here yet." in as_owner.get(url("page")).content.decode()


def test_without_htmx_it_is_the_page(as_owner, url, say):
    assert as_owner.get(url("starter")).url == url("page")


def test_another_team_does_not_see_the_goal(as_stranger, url, say):
    assert as_stranger.get(url("starter"), headers=HTMX).status_code == 404


def test_it_is_only_read(as_owner, url, say):
    assert as_owner.post(url("starter")).status_code == 405
