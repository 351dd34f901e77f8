"""Texts of requests: stored only where switched on, redacted, searched, replayed, deleted."""

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from finetune_app.api_keys import services as api_keys
from finetune_app.deployment.models import Deployment
from finetune_app.request_log import recording, replay, retention
from finetune_app.request_log.models import (
    Feedback,
    Request,
    Retention,
    StoredResponse,
    Transcript,
)
from finetune_app.request_log.periodic_tasks import delete_expired
from finetune_app.request_log.redaction import redact
from finetune_app.request_log.stored_responses import ResponseToStore

ASK = """Hello, my pump leaks. Write to mara.lind@kettle-lane.co.uk or +44 20 7946 0958.

Kind regards,
Mara Lind"""
REQUEST = replay.inference.request_for_base_model("tiny")
ON = {"on": "on", "told": "on", "percent": "100", "days": "30", "least": ""}


@pytest.fixture
def key(live, team, owner):
    return api_keys.create_key(team=team, by=owner, name="the mailbox", deployment=live)[0]


@pytest.fixture
def ask(live, key):
    """ask(text) stores a request as the API does."""

    def record(text: str = ASK, answer: str = "repair_status", **facts) -> Request:
        asked = [{"role": "system", "content": "Sort it."}, {"role": "user", "content": text}]
        given = {"status": 200, "seconds": 0.5, "reply_id": f"chatcmpl-{Request.objects.count()}"}
        return recording.record(
            key=key,
            deployment=live,
            release=live.current,
            model=live.name,
            prompt_tokens=9,
            tokens=3,
            answer=answer,
            **{"messages": asked} | given | facts,
        )

    return record


@pytest.fixture
def storing(live, owner):
    return retention.change(deployment=live, by=owner, on=True)


def test_no_text_is_stored_by_default(ask, live, as_viewer, url):
    ask()
    assert not Transcript.objects.exists()
    page = as_viewer.get(url("request_log:page")).content.decode()
    assert "not kept" in page
    assert "pump" not in page


def test_an_owner_switches_it_on_and_confirms_that_people_know(live, as_owner, as_editor, url):
    assert as_editor.post(url("request_log:retention"), ON).status_code == 403
    reply = as_owner.post(url("request_log:retention"), ON | {"told": ""})
    assert reply.status_code == 422
    assert "Tell them first" in reply.content.decode()
    assert not Retention.objects.exists()
    as_owner.post(url("request_log:retention"), ON)
    found = Retention.objects.get()
    assert found.on
    assert found.by
    assert found.since
    as_owner.post(url("request_log:retention"), ON | {"on": ""})
    assert not Retention.objects.get().on


def test_texts_are_redacted_before_they_are_stored(ask, storing):
    request = ask(answer="I wrote to mara.lind@kettle-lane.co.uk.")
    transcript = Transcript.objects.get(request=request)
    row = " ".join(map(str, Transcript.objects.filter(pk=transcript.pk).values_list()[0]))
    for removed in ("mara.lind", "7946", "Mara", "Lind"):
        assert removed not in row
    assert "my pump leaks" in transcript.prompt
    assert "[email]" in transcript.prompt
    assert transcript.redacted == 4
    assert transcript.messages[0] == {"role": "system", "content": "Sort it."}


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Dear Mrs Lind, it is ready.", "Dear Mrs [name], it is ready."),
        ("My name is Jonas van Dam and", "My name is [name] and"),
        ("Ich heiße Jürgen Groß.", "Ich heiße [name]."),
        ("Sehr geehrter Herr Dr. Müller-Lüdenscheidt,", "Sehr geehrter Herr Dr. [name],"),
        ("Viele Grüße\nAnna", "Viele Grüße\n[name]"),
        ("Hello there, is my Gazelle ready?", "Hello there, is my Gazelle ready?"),
        ("Hi all,", "Hi all,"),
        ("The Trek Domane is best.\nWhat now", "The Trek Domane is best.\nWhat now"),
        ("IBAN DE89 3704 0044 0532 0130 00", "IBAN [iban]"),
        ("card 4111 1111 1111 1111 please", "card [card] please"),
        ("password: hunter2-Xy9", "password: [password]"),
        ("with\x00nul", "withnul"),
    ],
)
def test_redact(text, clean):
    assert redact(text).text == clean


def test_names_are_removed_where_redaction_shortens_the_text_before_them():
    key = f"-----BEGIN PRIVATE KEY-----{'x' * 7_000}-----END PRIVATE KEY-----"
    assert "Mara" not in redact(f"{key} {key} {key}\nKind regards,\nMara Lind").text


@pytest.mark.parametrize("unit", [" ", "a.", "4111 1111 1111 1111, "])
def test_redaction_takes_linear_time(unit):
    """Quadratic patterns would take minutes."""
    started = time.process_time()
    redact((unit * 200_000)[:200_000])
    assert time.process_time() - started < 10


def test_only_the_chosen_percentage_is_stored(ask, live, owner, monkeypatch):
    retention.change(deployment=live, by=owner, on=True, percent=30)
    drawn = iter([0.1, 0.29, 0.3, 0.9])
    monkeypatch.setattr(retention.random, "random", lambda: next(drawn))
    for _turn in range(4):
        ask()
    assert Request.objects.count() == 4
    assert Transcript.objects.count() == 2


def test_an_error_loses_the_text_and_logs_none_of_it(ask, storing, monkeypatch, caplog):
    def broken(*args):
        raise ValueError("could not store: my pump leaks")

    monkeypatch.setattr(retention.redactor, "redact", broken)
    assert ask().pk
    assert "ValueError" in caplog.text
    assert "pump" not in caplog.text


def test_search_finds_whole_words_in_any_case(ask, storing, as_viewer, url):
    ask("The Pump leaks")
    ask("pumpkin soup", answer="no_topic")

    def found(q):
        return [
            one.transcript.prompt
            for one in as_viewer.get(url("request_log:page"), {"q": q}).context["page"].requests
        ]

    assert found("pump") == ["The Pump leaks"]
    assert found("LEAKS the") == ["The Pump leaks"]
    assert found("no_topic") == ["pumpkin soup"]
    assert found("pu") == found("%") == found("!!") == []


def test_filters_are_read_from_the_query_string(ask, live, storing, key, as_viewer, url):
    slow, bad = ask(seconds=6.0), ask(status=503, error="model_failed", answer="")
    Feedback.objects.create(request=slow, deployment=live, rating=Feedback.DOWN)

    def found(**given):
        return as_viewer.get(url("request_log:page"), given).context["page"].requests

    assert found() == [bad, slow]
    assert found(status="failed") == [bad]
    assert found(status="answered") == found(slow=5) == found(thumbs="down") == [slow]
    assert found(thumbs="none") == [bad]
    assert found(key=key.pk, version=1) == [bad, slow]
    assert found(key=key.pk + 1) == found(version=9) == found(thumbs="up") == []
    assert found(status="odd", key="x", slow="9999999999999999999") == [bad, slow]


def test_every_key_that_may_ask_it_can_be_chosen(ask, key, team, owner, goal, as_viewer, url):
    whole_team, _text = api_keys.create_key(team=team, by=owner, name="everything")
    other_goal = team.goals.create(name="Other", created_by=owner)
    other = Deployment.objects.create(team=team, goal=other_goal, name="other")
    api_keys.create_key(team=team, by=owner, name="not this one", deployment=other)
    reply = as_viewer.get(url("request_log:page"), {"key": whole_team.pk})
    assert set(reply.context["keys"]) == {key, whole_team}
    page = " ".join(reply.content.decode().split())
    assert f'<option value="{whole_team.pk}" selected>' in page


def test_pages_follow_each_other_without_gaps_or_repeats(live, team, as_viewer, url):
    at = timezone.now()
    Request.objects.bulk_create(
        [Request(team=team, deployment=live, model="x", status=200, at=at) for _n in range(120)]
    )
    seen, query = [], ""
    for size in (50, 50, 20):
        page = as_viewer.get(url("request_log:page") + query).context["page"]
        assert len(page.requests) == size
        seen += page.requests
        query = page.next
    assert not query
    assert len(set(seen)) == 120


def test_replay_shows_the_answer_of_another_candidate(
    ask, storing, as_editor, as_viewer, url, monkeypatch
):
    request = ask()
    batches = []

    async def answer_turn(batch):
        batches.append(batch)
        return SimpleNamespace(answers={"0": "stock"}, errors={})

    monkeypatch.setattr(replay.conversation, "answer_turn", answer_turn)
    monkeypatch.setattr(replay.inference, "request_for", lambda candidate: REQUEST)
    page = as_editor.get(url("request_log:request", request_id=request.pk))
    option = page.context["everybody"][0]
    reply = as_editor.post(
        url("request_log:replay", request_id=request.pk), {"candidate": option.key}
    )
    assert reply.context["replayed"].text == "stock"
    assert batches[0].requests[0].messages == Transcript.objects.get().messages
    page = reply.content.decode()
    assert "repair_status" in page
    assert "stock" in page
    wrong = as_editor.post(
        url("request_log:replay", request_id=request.pk), {"candidate": "nobody"}
    )
    assert wrong.status_code == 400
    assert as_viewer.post(url("request_log:replay", request_id=request.pk)).status_code == 403


def test_deleting_a_text_deletes_its_comment_and_keeps_the_request(
    ask, storing, live, as_editor, url
):
    one, other = ask(), ask()
    for request in (one, other):
        Feedback.objects.create(request=request, deployment=live, rating=-1, comment="bad")
    as_editor.post(url("request_log:delete_text", request_id=one.pk))
    assert [transcript.request_id for transcript in Transcript.objects.all()] == [other.pk]
    assert Request.objects.count() == 2
    assert [f.comment for f in Feedback.objects.order_by("pk")] == ["", "bad"]
    assert as_editor.post(url("request_log:replay", request_id=one.pk)).status_code == 404


def test_delete_all_texts(ask, storing, as_editor, as_viewer, url, monkeypatch):
    monkeypatch.setattr(retention, "DELETE_BATCH", 2)
    for _turn in range(5):
        ask()
    assert as_viewer.post(url("request_log:delete_all_texts")).status_code == 403
    reply = as_editor.post(url("request_log:delete_all_texts"), follow=True)
    assert "The texts of 5 requests are deleted." in reply.content.decode()
    assert not Transcript.objects.exists()


# ---- Stored responses ----


@pytest.fixture
def stored_alone(ask, storing, live, owner):
    """A response with functions, which has no other text, of when texts were kept."""
    response = {"id": "resp_1", "output": [{"type": "message", "content": [{"text": "Hello"}]}]}
    request = ask(messages=(), to_store=ResponseToStore("resp_1", "", [], response))
    retention.change(deployment=live, by=owner, on=False)
    assert not Transcript.objects.exists()
    return request


def test_a_page_says_that_a_response_is_stored(stored_alone, as_viewer, url):
    page = as_viewer.get(url("request_log:request", request_id=stored_alone.pk)).content.decode()
    assert "a program can still read it" in page
    assert "is not kept" not in page
    listed = as_viewer.get(url("request_log:page")).content.decode()
    assert "1 text is here now" in listed
    assert "kept for programs" in listed
    assert " not kept\n" not in listed


def test_a_stored_response_is_deleted_on_its_page(stored_alone, as_editor, as_viewer, url):
    address = url("request_log:request", request_id=stored_alone.pk)
    assert "Delete this text" not in as_viewer.get(address).content.decode()
    assert "Delete this text" in as_editor.get(address).content.decode()
    as_editor.post(url("request_log:delete_text", request_id=stored_alone.pk))
    assert not StoredResponse.objects.exists()
    page = as_editor.get(address).content.decode()
    assert "is not kept" in page
    assert "Delete this text" not in page


def test_stored_responses_are_deleted_with_all_texts(stored_alone, as_editor, as_owner, url):
    for client in (as_editor, as_owner):
        assert 'popovertarget="delete-all"' in client.get(url("request_log:page")).content.decode()
    reply = as_editor.post(url("request_log:delete_all_texts"), follow=True).content.decode()
    assert "The text of 1 request is deleted." in reply
    assert "0 texts are here now" in reply
    assert not StoredResponse.objects.exists()


def test_a_text_that_is_also_stored_as_a_response_counts_once(ask, storing, live, as_viewer, url):
    ask(to_store=ResponseToStore("resp_1", ""))
    assert StoredResponse.objects.count() == Transcript.objects.count() == 1
    assert "1 text is here now" in as_viewer.get(url("request_log:page")).content.decode()
    assert retention.delete_all_texts(live) == 1


def test_texts_are_deleted_when_they_expire(ask, storing, live, owner):
    old, new = ask(), ask()
    Request.objects.filter(pk=old.pk).update(at=timezone.now() - timedelta(days=29))
    delete_expired()
    assert Transcript.objects.count() == 2
    retention.change(deployment=live, by=owner, on=False, days=28)  # also for stored texts
    delete_expired()
    assert [transcript.request_id for transcript in Transcript.objects.all()] == [new.pk]


def test_another_team_cannot_open_requests(ask, storing, as_stranger, url):
    request = ask()
    assert as_stranger.get(url("request_log:page")).status_code == 404
    for name in ("replay", "delete_text", "rate", "add_to_queue"):
        assert (
            as_stranger.post(url(f"request_log:{name}", request_id=request.pk)).status_code == 404
        )
    assert as_stranger.get(url("request_log:request", request_id=request.pk)).status_code == 404


def test_texts_to_a_base_model_are_not_stored(key, storing):
    recording.record(
        key=key,
        deployment=None,
        release=None,
        model="tiny",
        prompt_tokens=1,
        tokens=1,
        status=200,
        answer="x",
        messages=[{"role": "user", "content": "y"}],
    )
    assert not Transcript.objects.exists()
