"""Adding a remote model: first its address, then the rest with consent."""

from django.urls import reverse

from finetune_app.core.encryption import decrypt
from finetune_app.providers.models import Endpoint
from tests.accounts.pages import text
from tests.fake_provider import KEY

URL = "https://api.example.com/v1"
ADD = "/team/models/add/"
GOOD = {
    "url": URL,
    "consent_to": "api.example.com",
    "consent": "on",
    "name": "Big one",
    "model": "big-1",
    "key": KEY,
    "context": 8192,
    "price_in": "2.5",
    "price_out": "",
}


def test_first_the_address_then_what_goes_there(as_owner):
    assert "Where does it answer?" in text(as_owner.get(ADD))
    page = text(as_owner.get(ADD, {"url": f"{URL}/chat/completions"}))
    assert "What goes to api.example.com" in page
    for said in ("the question, the instructions, the example shots", "practice prompts", "Never"):
        assert said in page
    assert not Endpoint.objects.exists()


def test_consent_is_recorded_with_user_and_time(as_owner, owner, team):
    assert as_owner.post(ADD, GOOD).status_code == 302
    endpoint = Endpoint.objects.get()
    assert (endpoint.team, endpoint.url, endpoint.model) == (team, URL, "big-1")
    assert endpoint.consented_by == owner
    assert endpoint.consented_at is not None
    assert (float(endpoint.price_in), endpoint.price_out) == (2.5, None)


def test_the_key_is_kept_encrypted_and_never_shown(as_owner, owner):
    as_owner.post(ADD, GOOD)
    endpoint = Endpoint.objects.get()
    assert KEY not in endpoint.secret
    assert decrypt(endpoint.secret) == KEY
    for address in ("/team/models/", f"/team/models/{endpoint.pk}/"):
        page = text(as_owner.get(address))
        assert KEY not in page
        assert endpoint.secret not in page


def test_a_form_with_a_mistake_does_not_give_the_key_back(as_owner):
    reply = as_owner.post(ADD, GOOD | {"model": ""})
    assert reply.status_code == 422
    assert KEY not in text(reply)


def test_without_the_tick_nothing_is_added(as_owner):
    reply = as_owner.post(ADD, {name: GOOD[name] for name in GOOD if name != "consent"})
    assert reply.status_code == 422
    assert "Nothing is sent there until you agree." in text(reply)
    assert not Endpoint.objects.exists()


def test_consent_to_one_host_is_not_consent_to_another(as_owner):
    reply = as_owner.post(ADD, GOOD | {"url": "https://api.other.example/v1"})
    assert reply.status_code == 422
    assert "address has changed" in text(reply)
    assert "What goes to api.other.example" in text(reply)
    assert not Endpoint.objects.exists()


def test_a_private_address_is_rejected(as_owner):
    for url in ("https://169.254.169.254/v1", "http://127.0.0.1:8000/", "https://a@b/v1"):
        assert as_owner.get(ADD, {"url": url}).status_code == 422
        assert as_owner.post(ADD, GOOD | {"url": url}).status_code == 422
    assert not Endpoint.objects.exists()


def test_the_operator_may_allow_a_private_server(as_owner, settings):
    settings.ENDPOINTS_ALLOWED = frozenset({"gpu-box.lan:8000"})
    there = {"url": "http://gpu-box.lan:8000/v1", "consent_to": "gpu-box.lan", "key": ""}
    assert as_owner.post(ADD, GOOD | there).status_code == 302
    assert Endpoint.objects.get().secret == ""
    assert as_owner.get(ADD, {"url": "http://gpu-box.lan:8001/v1"}).status_code == 422


def test_an_unknown_price_is_not_zero(as_owner):
    reply = as_owner.post(ADD, GOOD | {"price_in": "0"})
    assert "Leave it empty" in text(reply)
    as_owner.post(ADD, GOOD | {"price_in": ""})
    assert "price not set" in text(as_owner.get("/team/models/"))


def test_a_key_with_a_line_break_is_rejected(as_owner):
    reply = as_owner.post(ADD, GOOD | {"key": "abc\r\nX-Other: 1"})
    assert reply.status_code == 422
    assert not Endpoint.objects.exists()


def test_names_are_unique_in_a_team(as_owner):
    as_owner.post(ADD, GOOD)
    reply = as_owner.post(ADD, GOOD)
    assert reply.status_code == 422
    assert "called “Big one” already" in text(reply)


def test_only_owners_add(as_editor, as_viewer, client):
    for browser in (as_editor, as_viewer):
        assert browser.get(ADD).status_code == 403
        assert browser.post(ADD, GOOD).status_code == 403
    assert client.post(ADD, GOOD)["Location"].startswith(reverse("accounts:sign_in"))
    assert not Endpoint.objects.exists()


def test_a_switch_of_teams_in_another_tab_is_detected(as_owner, team):
    as_owner.post("/teams/new/", {"name": "Another client"})
    assert as_owner.post(f"{ADD}?in_team={team.pk}", GOOD).status_code == 409
    assert not Endpoint.objects.exists()
