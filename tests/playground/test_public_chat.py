"""The public chat page: who can open it, which sites may frame it, and that nothing leaks."""

import json

import pytest
from django.test import Client

from finetune_app.accounts.models import Team
from finetune_app.candidates import services as candidates
from finetune_app.core import rate_limiter
from finetune_app.deployment import services
from finetune_app.deployment.models import Release
from finetune_app.gateway.errors import ApiError
from finetune_app.playground import page_client
from finetune_app.playground.models import PublicChat
from finetune_app.request_log import retention
from tests.accounts.authenticator_app import add_app, confirmed
from tests.factories import _endpoint

GIVEN = {
    "on": "on",
    "audience": "link",
    "title": "Ask the shop",
    "greeting": "Hello.",
    "origins": "https://www.shop.example\nhttps://help.shop.example/",
    "questions_per_minute": "2",
    "questions_per_day": "3",
}
NOBODY = Client


@pytest.fixture
def chat(live, as_editor, url) -> PublicChat:
    as_editor.post(url("playground:chat_page"), GIVEN)
    return PublicChat.objects.get()


@pytest.fixture
def address(chat) -> str:
    return f"/chat/{chat.link}/"


# ---- Switching it on ----


def test_the_page_is_off_until_an_editor_switches_it_on(
    live, as_editor, as_viewer, as_stranger, url
):
    assert not PublicChat.objects.exists()
    assert as_viewer.get(url("playground:chat_page")).status_code == 403
    assert as_stranger.post(url("playground:chat_page"), GIVEN).status_code == 404
    page = as_editor.post(url("playground:chat_page"), GIVEN, follow=True).content.decode()
    chat = PublicChat.objects.get()
    assert f"/chat/{chat.link}/" in page
    assert "&lt;iframe src=" in page
    assert len(chat.link) >= 20


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "https://*.shop.example",
        "https://shop.example/path",
        "shop.example",
        "http://shop.example",
        "https://shop.example; script-src *",
        "https://a.example https://b",
        "javascript:alert(1)",
        "https://user@shop.example",
        "null",
        "https://",
    ],
)
def test_only_exact_origins_are_accepted(live, as_editor, url, origin):
    reply = as_editor.post(url("playground:chat_page"), GIVEN | {"origins": origin})
    assert reply.status_code == 422
    assert not PublicChat.objects.exists()


def test_a_new_link_replaces_the_old_one(chat, address, as_editor, url):
    as_editor.post(url("playground:new_chat_link"))
    assert NOBODY().get(address).status_code == 404
    chat.refresh_from_db()
    assert NOBODY().get(f"/chat/{chat.link}/").status_code == 200


# ---- Who can open it ----


def test_a_stranger_gets_no_cookie_and_sees_nothing_of_the_team(chat, address, team, goal, live):
    reply = NOBODY().get(address)
    assert reply.status_code == 200
    assert not reply.cookies
    assert reply["Cache-Control"] == "no-store"
    page = reply.content.decode()
    assert "Ask the shop" in page
    for secret in (team.name, goal.name, live.name, live.current.candidate.name, "csrf", "Mara"):
        assert secret not in page


def test_it_says_when_transcripts_are_kept(chat, address, live, owner):
    assert "may be kept" not in NOBODY().get(address).content.decode()
    retention.change(deployment=live, by=owner, on=True)
    assert "may be kept for some days" in NOBODY().get(address).content.decode()


def test_exactly_the_named_sites_may_frame_it(chat, address):
    reply = NOBODY().get(address)
    policy = dict(part.split(" ", 1) for part in reply["Content-Security-Policy"].split("; "))
    assert policy["frame-ancestors"] == "https://www.shop.example https://help.shop.example"
    assert policy["default-src"] == "'none'"
    assert "X-Frame-Options" not in reply


def test_without_named_sites_none_may_frame_it(chat, address):
    PublicChat.objects.update(origins=[])
    reply = NOBODY().get(address)
    assert "frame-ancestors 'none'" in reply["Content-Security-Policy"]
    assert reply["X-Frame-Options"] == "DENY"


def test_a_team_page_does_not_exist_for_others(chat, address, as_viewer, as_stranger):
    PublicChat.objects.update(audience="team")
    assert as_viewer.get(address).status_code == 200
    unknown = NOBODY().get("/chat/no-such-link/").content
    for somebody in (NOBODY(), as_stranger):
        reply = somebody.get(address)
        assert (reply.status_code, reply.content) == (404, unknown)


def test_a_team_page_asks_for_the_second_factor_that_the_team_asks_for(
    chat, address, team, editor, as_viewer, as_editor
):
    PublicChat.objects.update(audience="team")
    Team.objects.filter(pk=team.pk).update(requires_second_factor=True)
    assert as_viewer.get(address)["Location"] == "/account/second-factor/"
    asked = as_viewer.post(address, {"question": "Hi"}, headers={"Origin": "http://testserver"})
    assert asked.status_code == 403
    assert "asks its members for a second factor" in asked.content.decode()
    browser = confirmed(editor)
    add_app(browser)
    assert browser.get(address).status_code == 200


def test_a_page_for_everybody_asks_nobody_for_a_second_factor(chat, address, team, as_viewer):
    Team.objects.filter(pk=team.pk).update(requires_second_factor=True)
    assert as_viewer.get(address).status_code == NOBODY().get(address).status_code == 200


def test_a_page_that_is_off_looks_like_an_unknown_link(chat, address):
    PublicChat.objects.update(on=False)
    assert NOBODY().get(address).content == NOBODY().get("/chat/no-such-link/").content


def test_a_paused_deployment_closes_the_page(chat, address, live, goal):
    services.pause(deployment=live)
    reply = NOBODY().get(address)
    assert reply.status_code == 503
    assert "taking a break" in reply.content.decode()
    assert goal.name not in reply.content.decode()


# ---- Limits ----


@pytest.fixture
def asked(address, monkeypatch):
    """A question up to the point where the model would answer."""

    def unavailable(*args):
        raise ApiError(503, "The documents of Mara have changed.")

    monkeypatch.setattr(page_client, "prepare", unavailable)
    return lambda question="Hello", **more: NOBODY().post(address, {"question": question}, **more)


def test_each_visitor_has_a_limit_per_minute(asked):
    answers = [asked() for _n in range(3)]
    assert [one.status_code for one in answers] == [503, 503, 429]
    assert "Wait a little" in answers[-1].content.decode()
    assert asked(REMOTE_ADDR="10.0.0.9").status_code == 503


def test_all_visitors_share_a_limit_per_day(asked):
    codes = [asked(REMOTE_ADDR=f"10.0.0.{n}").status_code for n in range(5)]
    assert codes == [503, 503, 503, 429, 429]


def test_ipv6_addresses_of_one_network_are_one_visitor(asked):
    codes = [asked(REMOTE_ADDR=f"2001:db8::{n}").status_code for n in range(3)]
    assert codes[-1] == 429


def test_nobody_is_answered_while_the_broker_is_unreachable(asked, monkeypatch):
    from limits.errors import StorageError

    def broken(*args, **kwargs):
        raise StorageError(ConnectionError())

    monkeypatch.setattr(rate_limiter.limiter(), "hit", broken)
    reply = asked()
    assert reply.status_code == 503
    assert "cannot answer now" in reply.content.decode()


def test_internal_errors_are_not_shown(asked):
    page = asked().content.decode()
    assert "cannot answer now" in page
    assert "Mara" not in page


TOLD = '[{"role": "user", "content": "My kettle drips"}]'


def test_a_question_without_an_answer_keeps_the_conversation(asked, address):
    """For a browser without JavaScript, whose page is written anew."""
    for _n in range(3):
        reply = NOBODY().post(address, {"question": "And <now>?", "history": TOLD})
        page = reply.content.decode()
        assert page.count("My kettle drips") == 2  # shown, and in the field for the next question
        assert "And &lt;now&gt;?</textarea>" in page
    assert reply.status_code == 429


def test_a_question_that_the_model_could_not_answer_keeps_the_conversation(address, monkeypatch):
    async def failed(generation):
        return {"error": "The model is away."}

    monkeypatch.setattr(page_client, "complete", failed)
    page = NOBODY().post(address, {"question": "And now?", "history": TOLD}).content.decode()
    assert "cannot answer now" in page
    assert page.count("My kettle drips") == 2
    assert "And now?</textarea>" in page


def test_half_a_character_in_the_hidden_field_is_no_internal_error(address, monkeypatch):
    """JSON may hold half of a surrogate pair, UTF-8 may not."""
    sent = []

    def noted(body: bytes):
        sent.append(json.loads(body)["messages"][0]["content"])
        raise ApiError(503, "The model is away.")

    monkeypatch.setattr(page_client, "parse_chat_request", noted)
    history = r'[{"role": "user", "content": "It is \ud83d\u0000 late"}]'
    reply = NOBODY().post(address, {"question": "Hello", "history": history})
    assert reply.status_code == 503
    assert sent == ["It is �␀ late"]


def test_empty_and_too_long_questions_are_refused(asked):
    assert asked("").status_code == 400
    assert "Ask something shorter" in asked("x" * 3000).content.decode()


def test_another_sites_script_cannot_ask(address, as_viewer):
    elsewhere = {"headers": {"Origin": "https://evil.example"}}
    refused = NOBODY().post(address, {"question": "Hi", "history": TOLD}, **elsewhere)
    assert refused.status_code == 403
    assert "My kettle drips" not in refused.content.decode()  # nor put words on the page
    PublicChat.objects.update(audience="team")
    assert as_viewer.post(address, {"question": "Hi"}, **elsewhere).status_code == 403
    assert (
        as_viewer.post(address, {"question": "Hi"}).status_code == 403
    )  # a team page always needs the Origin


def test_what_a_question_costs_is_said_of_a_model_elsewhere(live, as_editor, url, team, owner):
    page = url("playground:chat_page")
    assert "Each question uses this machine" in as_editor.get(page).text
    candidate = candidates.prompt_candidate(
        goal=live.goal, endpoint=_endpoint(team, owner), instructions="Be brief.", shots=[]
    )
    Release.objects.filter(pk=live.current.pk).update(candidate=candidate)
    assert "goes to “Elsewhere”, which may charge your team" in as_editor.get(page).text
