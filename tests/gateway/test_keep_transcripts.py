"""From a request to feedback and a dataset row, over HTTP and with the real engine."""

import httpx
import pytest

from finetune_app.datasets.models import Status
from finetune_app.request_log import retention
from finetune_app.request_log.models import Feedback, Request, Transcript
from finetune_app.request_log.redaction import redact


def test_a_kept_transcript_with_bad_feedback_is_queued(client, address, key, live, owner):
    retention.change(deployment=live, by=owner, on=True, queues=True)
    asked = [{"role": "user", "content": "Write to ann@kettle-lane.co.uk"}]
    reply = client.with_options(timeout=600).chat.completions.create(
        model="sort-shop-emails", messages=asked, max_tokens=8, stream=True
    )
    chunks = list(reply)
    text = "".join(one.choices[0].delta.content or "" for one in chunks)
    transcript = Transcript.objects.get()
    assert transcript.answer.strip() == redact(text).text.strip()
    assert transcript.messages == [{"role": "user", "content": "Write to [email]"}]
    assert transcript.request.reply_id == chunks[0].id
    assert transcript.request.first_seconds is not None
    sent = {"id": chunks[0].id, "rating": "down", "expected": "order_status"}
    answer = httpx.post(
        f"{address}/feedback", json=sent, timeout=60, headers={"Authorization": f"Bearer {key[1]}"}
    )
    assert answer.json()["kept"] == ["rating", "expected"]
    assert Feedback.objects.get().request == transcript.request
    transcript.refresh_from_db()
    assert transcript.example.status == Status.PENDING
    assert transcript.example.suggestions.get().answer == "order_status"


def test_confidence_is_logged_with_logprobs(client, key):
    asked = [{"role": "user", "content": "Hello there"}]
    create = client.with_options(timeout=600).chat.completions.create
    reply = create(model="sort-shop-emails", messages=asked, max_tokens=6, logprobs=True)
    create(model="sort-shop-emails", messages=asked, max_tokens=6)
    found = dict(Request.objects.values_list("reply_id", "confidence"))
    tokens = [one.logprob for one in reply.choices[0].logprobs.content]
    assert found.pop(reply.id) == pytest.approx(sum(tokens) / len(tokens))
    assert list(found.values()) == [None]


def test_engine_health_is_reported(engine_process, live, as_viewer, goal):
    page = as_viewer.get(f"/goals/{goal.pk}/deployment/monitor/")
    found = page.context["engine"]
    assert found["memory_bytes"] > 1e6
    assert found["queue"] >= 0
    assert "of at most" in page.content.decode()
