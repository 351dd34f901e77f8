"""The chat page: both answers, the history and all errors."""

import html
import json
import re

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from finetune_app.candidates import conversation
from finetune_app.core import engine_client
from tests import journey
from tests.candidates.workbench_helpers import HELLO, text


@pytest.fixture
def no_engine(settings, tmp_path):
    """No engine listens."""
    settings.ENGINE_SOCKET = tmp_path / "engine.sock"


def test_both_candidates_answer_without_javascript(as_viewer, trained, engine_requests, url):
    page = text(as_viewer.post(url("chat"), HELLO))
    assert "base says hello" in page
    assert "tuned says hello" in page
    assert "Is my bike ready?" in page


def test_each_candidate_gets_its_own_earlier_answers(as_viewer, trained, engine_requests, url):
    first = as_viewer.post(url("chat"), HELLO)
    history = first.context["history"]
    as_viewer.post(url("chat"), {"question": "And the price?", "history": history})
    requests = {
        request["candidate"]: request["messages"] for request in engine_requests[-1]["requests"]
    }
    assert [m["content"] for m in requests["tuned"]] == [
        "Is my bike ready?",
        "tuned says hello",
        "And the price?",
    ]
    assert requests["base"][1]["content"] == "base says hello"


def test_the_tested_number_format_is_used(as_viewer, trained, engine_requests, url):
    as_viewer.post(url("chat"), HELLO)
    assert engine_requests[-1]["number_format"] == "auto"
    trained.candidates.update(number_format="bf16")
    as_viewer.post(url("chat"), HELLO)
    assert engine_requests[-1]["number_format"] == "bf16"


def test_the_page_waits_for_a_tuned_model(as_viewer, goal, url):
    page = text(as_viewer.get(url("chat")))
    assert "There is no second model to compare with yet" in page
    assert as_viewer.post(url("chat_stream"), HELLO).status_code == 404


def test_a_training_can_be_named(as_viewer, trained, engine_requests, url):
    assert as_viewer.post(url("chat") + "?training=1", HELLO).status_code == 200
    assert "There is no second model to compare with yet" in text(
        as_viewer.get(url("chat") + "?training=7")
    )
    assert as_viewer.get(url("chat") + "?training=²").status_code == 200


def test_with_several_trainings_one_is_chosen(as_viewer, trained, engine_requests, url, owner):
    second = journey.trained(trained.goal, owner)
    page = text(as_viewer.get(url("chat")))
    assert f'value="training-{second.number}" selected' in page
    assert f'value="training-{trained.number}"' in page
    assert "after training 1" in text(as_viewer.get(url("chat") + "?training=1"))


def test_a_training_that_ends_meanwhile_takes_no_part_in_a_conversation(
    as_viewer, trained, engine_requests, url, owner
):
    page = text(as_viewer.get(url("chat")))
    stream = html.unescape(re.search(r'data-stream="([^"]+)"', page)[1])
    journey.trained(trained.goal, owner, weights="others")
    b"".join(as_viewer.post(stream, {"question": "Hello"}))
    asked = [one["adapter"] for body in engine_requests for one in body["requests"]]
    assert [bool(adapter) for adapter in asked].count(True) == 1
    assert any(str(trained.adapter_folder) in str(adapter) for adapter in asked)


@pytest.mark.parametrize("question", ["", "   \n"])
def test_an_empty_question_is_rejected(as_viewer, trained, engine_requests, url, question):
    for name in ("chat", "chat_stream"):
        reply = as_viewer.post(url(name), {"question": question})
        assert reply.status_code == 422
        assert "Type something first." in text(reply)
    assert engine_requests == []


def test_a_long_question_is_rejected_and_kept_in_the_form(as_viewer, trained, engine_requests, url):
    long = "x" * (conversation.MAX_MESSAGE_CHARS + 1)
    reply = as_viewer.post(url("chat"), {"question": long})
    assert reply.status_code == 422
    assert "longer than 8000 characters" in text(reply)
    assert long in text(reply)
    assert as_viewer.post(url("chat_stream"), {"question": long}).json()["error"]
    assert engine_requests == []


def test_a_missing_engine_is_reported(as_viewer, trained, no_engine, url):
    reply = as_viewer.post(url("chat"), HELLO)
    assert "The model cannot be reached just now." in text(reply)
    assert "Is my bike ready?" in text(reply)  # the question is kept
    lines = b"".join(as_viewer.post(url("chat_stream"), HELLO))
    assert "cannot be reached" in json.loads(lines)["error"]


@pytest.mark.parametrize(
    "history",
    [
        "{",
        "null",
        "7",
        '"text"',
        "[[[]]]",
        '[{"asked": 7}]',
        '[{"asked": "hi", "base": [1]}]',
        "[" * 100_000,
        '[{"asked": "\\ud800", "base": "\\udfff"}]',
        '[{"asked": "hi"}, null, []]',
        '[{"asked": "<script>alert(1)</script>", "tuned": "</textarea><script>"}]',
        "9" * 10_000,
        '[{"asked": "\\u0000"}]',
    ],
)
def test_a_hostile_history_is_dropped_and_never_trusted(
    as_viewer, trained, engine_requests, url, history
):
    reply = as_viewer.post(url("chat"), HELLO | {"history": history})
    assert reply.status_code == 200
    page = reply.content.decode()
    assert "<script>alert" not in page
    assert "</textarea><script>" not in page
    assert as_viewer.post(url("chat_stream"), HELLO | {"history": history}).status_code == 200


def test_a_history_stays_within_bounds():
    rows = [{"asked": "x" * 20_000, "base": "y" * 20_000}] * 50
    turns = conversation.read_history(json.dumps(rows))
    assert len(turns) == conversation.MAX_TURNS
    assert all(
        len(turn.question) == len(turn.answers["base"]) == conversation.MAX_MESSAGE_CHARS
        for turn in turns
    )


def test_history_round_trip():
    turns = [conversation.Turn("Größe?", {"base": "“M”", "tuned": "L & S"})]
    assert conversation.read_history(conversation.write_history(turns)) == turns


def test_only_the_team_can_chat(as_stranger, as_owner, trained, url):
    for name in ("chat", "chat_stream"):
        assert as_stranger.post(url(name), HELLO).status_code == 404
        assert as_owner.put(url(name)).status_code == 405
    assert as_owner.get(url("chat_stream")).status_code == 405


@pytest.mark.django_db(transaction=True)
def test_no_database_connection_is_held_while_answers_stream(as_viewer, trained, url, monkeypatch):
    """Answers can take minutes, and PostgreSQL allows a hundred connections by default."""
    held = []

    async def stream_chat(base_model, requests, **options):
        held.append(await sync_to_async(lambda: connection.connection)())
        for request in requests:
            yield {"candidate": request["candidate"], "done": True}

    monkeypatch.setattr(engine_client, "stream_chat", stream_chat)
    b"".join(as_viewer.post(url("chat_stream"), HELLO))
    assert held == [None]
