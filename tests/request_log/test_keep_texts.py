"""What is said to a deployment: kept only where somebody switched it on, without personal data,
found again, answered by another candidate, forgotten."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from finetune_app.api_keys import services as api_keys
from finetune_app.request_log import recording, replay, retention
from finetune_app.request_log.models import Feedback, Request, Retention, Transcript
from finetune_app.request_log.periodic_tasks import delete_expired
from finetune_app.request_log.redaction import redact

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
    """ask(text) is a request as the API notes it."""

    def noted(text: str = ASK, answer: str = "repair_status", **facts) -> Request:
        given = {"status": 200, "seconds": 0.5, "reply_id": f"chatcmpl-{Request.objects.count()}"}
        return recording.record(
            key=key,
            deployment=live,
            release=live.current,
            model=live.name,
            prompt_tokens=9,
            tokens=3,
            answer=answer,
            messages=[{"role": "system", "content": "Sort it."}, {"role": "user", "content": text}],
            **given | facts,
        )

    return noted


@pytest.fixture
def kept(live, owner):
    return retention.change(deployment=live, by=owner, on=True)


def test_nothing_is_kept_unless_somebody_says_so(ask, live, as_viewer, url):
    ask()
    assert not Transcript.objects.exists()
    page = as_viewer.get(url("request_log:page")).content.decode()
    assert "not kept" in page
    assert "pump" not in page


def test_an_owner_switches_it_on_and_has_told_people(live, as_owner, as_editor, url):
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


def test_personal_data_never_reaches_the_database(ask, kept):
    request = ask(answer="I wrote to mara.lind@kettle-lane.co.uk.")
    transcript = Transcript.objects.get(request=request)
    row = " ".join(map(str, Transcript.objects.filter(pk=transcript.pk).values_list()[0]))
    for secret in ("mara.lind", "7946", "Mara", "Lind"):
        assert secret not in row
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
def test_what_is_taken_out(text, clean):
    assert redact(text).text == clean


def test_a_share_of_requests(ask, live, owner, monkeypatch):
    retention.change(deployment=live, by=owner, on=True, percent=30)
    drawn = iter([0.1, 0.29, 0.3, 0.9])
    monkeypatch.setattr(retention.random, "random", lambda: next(drawn))
    for _turn in range(4):
        ask()
    assert Request.objects.count() == 4
    assert Transcript.objects.count() == 2


def test_a_fault_costs_the_text_and_its_words_reach_no_log(ask, kept, monkeypatch, caplog):
    def broken(*args):
        raise ValueError("could not keep: my pump leaks")

    monkeypatch.setattr(retention, "redact", broken)
    assert ask().pk
    assert "ValueError" in caplog.text
    assert "pump" not in caplog.text


def test_words_are_found_whole_and_in_any_capitals(ask, kept, as_viewer, url):
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


def test_filters_live_in_the_address(ask, live, kept, key, as_viewer, url):
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


def test_a_long_list_goes_on_where_it_stopped(live, team, as_viewer, url):
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


def test_one_request_and_what_another_one_says(ask, kept, as_editor, as_viewer, url, monkeypatch):
    request = ask()
    asked = []

    async def whole(question):
        asked.append(question)
        return SimpleNamespace(answers={"0": "stock"}, errors={})

    monkeypatch.setattr(replay.conversation, "answer_turn", whole)
    monkeypatch.setattr(replay.inference, "request_for", lambda candidate: REQUEST)
    page = as_editor.get(url("request_log:request", request_id=request.pk))
    option = page.context["everybody"][0]
    reply = as_editor.post(
        url("request_log:replay", request_id=request.pk), {"candidate": option.key}
    )
    assert reply.context["replayed"].text == "stock"
    assert asked[0].requests[0].messages == Transcript.objects.get().messages
    page = reply.content.decode()
    assert "repair_status" in page
    assert "stock" in page
    wrong = as_editor.post(
        url("request_log:replay", request_id=request.pk), {"candidate": "nobody"}
    )
    assert wrong.status_code == 400
    assert as_viewer.post(url("request_log:replay", request_id=request.pk)).status_code == 403


def test_forgetting_one_takes_its_words_and_leaves_the_figures(ask, kept, live, as_editor, url):
    one, other = ask(), ask()
    for request in (one, other):
        Feedback.objects.create(request=request, deployment=live, rating=-1, comment="bad")
    as_editor.post(url("request_log:delete_text", request_id=one.pk))
    assert [transcript.request_id for transcript in Transcript.objects.all()] == [other.pk]
    assert Request.objects.count() == 2
    assert [f.comment for f in Feedback.objects.order_by("pk")] == ["", "bad"]
    assert as_editor.post(url("request_log:replay", request_id=one.pk)).status_code == 404


def test_forgetting_all(ask, kept, as_editor, as_viewer, url, monkeypatch):
    monkeypatch.setattr(retention, "DELETE_BATCH", 2)
    for _turn in range(5):
        ask()
    assert as_viewer.post(url("request_log:delete_all_texts")).status_code == 403
    reply = as_editor.post(url("request_log:delete_all_texts"), follow=True)
    assert "The texts of 5 requests are deleted." in reply.content.decode()
    assert not Transcript.objects.exists()


def test_texts_go_when_their_days_are_over(ask, kept, live, owner):
    old, new = ask(), ask()
    Request.objects.filter(pk=old.pk).update(at=timezone.now() - timedelta(days=29))
    delete_expired()
    assert Transcript.objects.count() == 2
    retention.change(deployment=live, by=owner, on=False, days=28)  # counts for what is there
    delete_expired()
    assert [transcript.request_id for transcript in Transcript.objects.all()] == [new.pk]


def test_another_team_sees_none_of_it(ask, kept, as_stranger, url):
    request = ask()
    assert as_stranger.get(url("request_log:page")).status_code == 404
    for name in ("replay", "delete_text", "rate", "add_to_queue"):
        assert (
            as_stranger.post(url(f"request_log:{name}", request_id=request.pk)).status_code == 404
        )
    assert as_stranger.get(url("request_log:request", request_id=request.pk)).status_code == 404


def test_a_base_model_asked_directly_keeps_nothing(key, kept):
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
