"""Changing and deleting a remote model."""

from finetune_app.core.encryption import decrypt
from finetune_app.providers.models import Endpoint
from tests.accounts.pages import text
from tests.fake_provider import KEY

SAME = {"name": "Big one", "key": "", "context": 4096, "price_in": "1", "price_out": "2"}


def at(endpoint: Endpoint, what: str = "") -> str:
    return f"/team/models/{endpoint.pk}/{what}"


def test_name_context_and_prices_change_and_the_key_stays(as_owner, endpoint):
    as_owner.post(at(endpoint), SAME)
    changed = Endpoint.objects.get()
    assert (changed.name, changed.context, changed.price_out) == ("Big one", 4096, 2)
    assert decrypt(changed.secret) == KEY


def test_the_key_can_be_replaced_or_deleted(as_owner, endpoint):
    as_owner.post(at(endpoint), SAME | {"key": "another"})
    assert decrypt(Endpoint.objects.get().secret) == "another"
    as_owner.post(at(endpoint), SAME | {"forget_key": "on"})
    assert Endpoint.objects.get().secret == ""


def test_address_and_model_cannot_change(as_owner, endpoint):
    """Otherwise the key could be sent to another host."""
    as_owner.post(at(endpoint), SAME | {"url": "https://evil.example/v1", "model": "other"})
    same = Endpoint.objects.get()
    assert (same.url, same.model) == (endpoint.url, endpoint.model)


def test_a_name_in_use_is_rejected(as_owner, endpoint, platform, team, owner):
    platform.endpoint(team, owner, name="Big one")
    reply = as_owner.post(at(endpoint), SAME)
    assert reply.status_code == 422
    assert "already" in text(reply)


def test_deleting_it_deletes_the_key(as_owner, endpoint):
    as_owner.post(at(endpoint, "delete/"))
    assert not Endpoint.objects.exists()


def test_only_owners_may(as_editor, as_viewer, as_stranger, as_owner, endpoint):
    for what in ("", "delete/", "try/"):
        assert as_stranger.post(at(endpoint, what), SAME).status_code == 404
        assert as_editor.post(at(endpoint, what), SAME).status_code == 403
        assert as_viewer.post(at(endpoint, what), SAME).status_code == 403
        assert as_owner.put(at(endpoint, what)).status_code == 405
    assert Endpoint.objects.get().name == endpoint.name
