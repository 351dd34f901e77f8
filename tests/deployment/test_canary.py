"""A canary answers a percentage of the conversations, then it is promoted or withdrawn."""

import json

import pytest
from django.utils import timezone

from finetune_app.api_keys import services as api_keys
from finetune_app.candidates import inference
from finetune_app.candidates import services as candidates
from finetune_app.core.errors import PlainError
from finetune_app.deployment import services
from finetune_app.deployment.canary import includes, release_for
from finetune_app.deployment.models import Release
from finetune_app.gateway import model_lookup
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.schemas import parse_chat_request
from finetune_app.monitoring.canary_comparison import compare
from finetune_app.request_log import feedback
from finetune_app.request_log.models import Request
from tests.journey import trained

NOW = timezone.now()
CONVERSATIONS = [f"conversation {n}" for n in range(400)]


@pytest.fixture
def base(goal, tuned):
    return candidates.base_candidate(goal=goal, base_model=tuned.base_model)


@pytest.fixture
def canary(live, base, owner):
    """Version 2, a canary with 10 percent."""
    return services.start_canary(deployment=live, candidate=base, percent=10, by=owner)


@pytest.fixture
def key(team, owner):
    return api_keys.create_key(team=team, by=owner, name="x")[0]


def included(canary) -> set[str]:
    return {conversation for conversation in CONVERSATIONS if includes(canary, conversation)}


# ---- Which releases answer ----


def test_they_are_found_among_the_newest_or_asked_for(live, canary, base, owner):
    def found(among=()):
        return live.current_and_canary(among)

    newest = list(live.releases_with_candidate)
    assert found() == found(newest) == (live.current, canary)
    assert found(newest[:1]) == (live.current, canary)  # the current one is not among them
    for number in range(3, 9):
        Release.objects.create(
            deployment=live, number=number, candidate=base, promoted_at=None, withdrawn_at=NOW
        )
    assert found(live.releases_with_candidate[:5]) == (live.current, canary)


# ---- Assignment ----


def test_about_its_percentage_of_conversations_gets_the_canary(live, canary):
    inside = included(canary)
    assert 20 <= len(inside) <= 60
    conversation = inside.pop()
    outside = next(one for one in CONVERSATIONS if one not in inside and one != conversation)
    assert release_for(live, conversation) == canary
    assert release_for(live, outside) == live.current


def test_raising_the_percentage_keeps_everybody_who_was_in_it(live, canary, base, owner):
    larger = services.start_canary(deployment=live, candidate=base, percent=50, by=owner)
    assert larger == canary
    assert included(canary) < included(larger)
    assert 150 <= len(included(larger)) <= 250
    assert live.releases.count() == 2


def test_the_next_canary_draws_other_conversations(live, canary, base, owner):
    services.withdraw(release=canary, by=owner)
    again = services.start_canary(deployment=live, candidate=base, percent=10, by=owner)
    assert again.number == 3
    assert included(canary) != included(again)


def test_a_growing_conversation_keeps_its_version(live, canary, key):
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Is it mine?"},
    ]
    longer = [
        *conversation,
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Ok"},
    ]
    assert conversation_id(conversation) == conversation_id(longer)
    assert conversation_id(conversation, user="mara") == conversation_id(
        [conversation[1]], user="mara"
    )
    assert conversation_id(conversation, user="mara") != conversation_id(conversation)


def test_the_api_serves_the_release_that_the_hash_chooses(live, canary, key):
    drawn = {
        includes(canary, f"{key.pk}:{conversation}"): conversation for conversation in CONVERSATIONS
    }
    assert model_lookup.resolve(key, live.name, drawn[True]).release == canary
    assert model_lookup.resolve(key, live.name, drawn[False]).release == live.current
    assert model_lookup.resolve(key, live.name).release.number == 1  # without a conversation id


def test_the_current_release_answers_when_the_canary_cannot(live, canary, monkeypatch):
    def broken(candidate):
        raise PlainError("The documents have changed.")

    monkeypatch.setattr("finetune_app.candidates.inference.request_for", broken)
    assert release_for(live, included(canary).pop()) == live.current


def test_a_canary_that_cannot_answer_is_not_promoted(live, canary, as_editor, url, monkeypatch):
    """Until then the current release answers for it."""
    request_for = inference.request_for

    def broken(candidate):
        if candidate == canary.candidate:
            raise PlainError("The documents have changed.")
        return request_for(candidate)

    monkeypatch.setattr("finetune_app.candidates.inference.request_for", broken)
    page = as_editor.get(url("page")).content.decode()
    assert "It cannot answer now" in page
    assert "Let it answer everybody" not in page
    refused = as_editor.post(url("promote", number=canary.number))
    assert refused.status_code == 409
    assert "The documents have changed." in refused.content.decode()
    assert (live.canary, live.current.number) == (canary, 1)


def conversation_id(messages, **more) -> str:
    body = json.dumps({"model": "m", "messages": messages} | more).encode()
    return parse_chat_request(body).options.conversation_id


# ---- Its end ----


def test_promote_from_the_page(goal, live, tuned, as_editor, url):
    again = trained(goal, live.current.by, weights="better weights")
    given = {"candidate": f"training-{again.number}", "share": "25"}
    assert (
        "25 % of the conversations"
        in as_editor.post(url("go_live"), given, follow=True).content.decode()
    )
    assert (live.canary.number, live.canary.canary_percent, live.current.number) == (2, 25, 1)
    page = as_editor.get(url("page")).content.decode()
    assert "Let it answer everybody" in page
    as_editor.post(url("set_canary_percent", number=2), {"share": "50"})
    assert live.canary.canary_percent == 50
    as_editor.post(url("promote", number=2))
    assert (live.canary, live.current.number) == (None, 2)
    assert "Let it answer everybody" not in as_editor.get(url("page")).content.decode()


def test_two_tabs_cannot_both_end_a_canary(live, canary, as_editor, url):
    """A repeated request changes nothing; one that no longer fits gets a 409."""
    for _again in range(2):
        assert as_editor.post(url("promote", number=2)).status_code == 302
    assert live.current.number == 2
    late = as_editor.post(url("withdraw", number=2))
    assert late.status_code == 409
    assert "answers everybody by now" in late.content.decode()
    assert live.current.number == 2


def test_the_share_of_a_canary_that_has_ended_cannot_be_changed(
    live, canary, base, owner, as_editor, url
):
    """An old tab would start a version again that a colleague has taken back."""
    services.withdraw(release=canary, by=owner)
    late = as_editor.post(url("set_canary_percent", number=2), {"share": "50"})
    assert late.status_code == 409
    assert "was taken back in the meantime" in late.content.decode()
    assert (live.canary, live.releases.count()) == (None, 2)
    again = services.start_canary(deployment=live, candidate=base, percent=10, by=owner)
    assert as_editor.post(url("set_canary_percent", number=2), {"share": "50"}).status_code == 409
    assert live.canary.canary_percent == 10
    services.promote(release=again, by=owner)
    late = as_editor.post(url("set_canary_percent", number=3), {"share": "50"})
    assert late.status_code == 409
    assert "answers everybody by now" in late.content.decode()
    assert (live.canary, live.current) == (None, again)


def test_a_share_that_is_not_offered_is_refused(live, canary, as_editor, url):
    for share in ("99", "much", ""):
        reply = as_editor.post(url("set_canary_percent", number=2), {"share": share})
        assert reply.status_code == 400
    assert live.canary.canary_percent == 10


def test_a_withdrawn_canary_cannot_be_promoted(live, canary, as_editor, url):
    for _again in range(2):
        assert as_editor.post(url("withdraw", number=2)).status_code == 302
    assert (live.canary, live.current.number) == (None, 1)
    assert as_editor.post(url("promote", number=2)).status_code == 409


def test_only_one_canary_at_a_time_and_never_the_current_candidate(
    goal, live, canary, tuned, owner, as_editor, url
):
    again = trained(goal, owner, weights="better weights")
    another = {"candidate": f"training-{again.number}", "share": "5"}
    reply = as_editor.post(url("go_live"), another)
    assert reply.status_code == 409
    assert "Version 2 is still being tried" in reply.content.decode()
    services.withdraw(release=canary, by=owner)
    same = as_editor.post(url("go_live"), {"candidate": "training-1", "share": "5"})
    assert "answers everybody already" in same.content.decode()
    odd = as_editor.post(url("go_live"), another | {"share": "99"})
    assert odd.status_code == 400


def test_rolling_back_ends_the_canary(live, canary, owner, as_editor, url):
    as_editor.post(url("roll_back", number=1))
    assert (live.canary, live.current.number) == (None, 1)
    canary.refresh_from_db()
    assert canary.withdrawn_at
    assert canary.ended_by.name == "Jonas"


def test_pausing_keeps_the_canary(live, canary, key):
    services.pause(deployment=live)
    with pytest.raises(ApiError, match="paused"):
        model_lookup.resolve(key, live.name, "conversation 1")
    services.resume(deployment=live)
    assert live.canary == canary


# ---- Comparison ----


def test_compare_both_releases_since_the_canary_began(live, canary, team, as_viewer, url):
    seen = [(live.current, 200, 1.0), (canary, 200, 2.0), (canary, 503, 0.1), (canary, 499, 0.1)]
    for release, status, seconds in seen:
        Request.objects.create(
            team=team,
            deployment=live,
            release=release,
            model=live.name,
            status=status,
            seconds=seconds,
            tokens=5,
            prompt_tokens=10,
        )
    answered = Request.objects.filter(release=canary, status=200).get()
    feedback.give(request=answered, rating=-1)
    old, new = compare(live, canary, live.current).rows
    assert (old.requests, old.failed, old.p95_seconds, old.tokens) == (1, 0, 1.0, 15)
    assert (new.requests, new.failed, new.p95_seconds, new.tokens) == (3, 1, 2.0, 45)
    assert (old.up, old.down, new.up, new.down) == (0, 0, 0, 1)
    page = as_viewer.get(url("page")).content.decode()
    assert "too few to tell the two apart" in page
    assert "and 1 not" in page
    assert "Let it answer everybody" not in page


def test_the_history_says_what_changed_and_how_it_ended(live, canary, owner, as_viewer, url):
    services.withdraw(release=canary, by=owner)
    page = as_viewer.get(url("versions")).content.decode()
    assert "The first version" in page
    assert "Without a training" in page
    assert "Tried and taken back" in page
    assert "Not evaluated." in page


def test_viewers_and_strangers_cannot_change_a_canary(live, canary, as_viewer, as_stranger, url):
    for name in ("set_canary_percent", "promote", "withdraw"):
        assert as_viewer.post(url(name, number=2), {"share": "5"}).status_code == 403
        assert as_stranger.post(url(name, number=2), {"share": "5"}).status_code == 404
    assert as_stranger.get(url("versions")).status_code == 404
    assert live.canary.canary_percent == 10
