"""A model that thinks: its thought comes beside the answer, as other servers send it."""

import pytest

from finetune_app.candidates.models import Candidate
from finetune_app.core.thinking import THOUGHT_TOKENS
from finetune_app.request_log import retention
from finetune_app.request_log.models import Transcript
from finetune_app.request_log.redaction import redact
from tests.gateway.chat_requests import ask
from tests.worker.engine.engine_server import EngineServer
from tests.worker.engine.tiny_models import make_adapter
from tests.worker.thinking_models import make_thinking_base


@pytest.fixture(scope="module")
def engine_process(tmp_path_factory):
    data = tmp_path_factory.mktemp("thinking")
    make_adapter(make_thinking_base(data / "base"), data / "adapter", 1)
    running = EngineServer(data)
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture
def thinker(live, client, monkeypatch):
    """A client of a model that was trained and tested with short thinking."""
    monkeypatch.setitem(THOUGHT_TOKENS, "short", 10)  # a random model never ends by itself
    Candidate.objects.update(thinking="short")
    return client


def test_the_thought_is_beside_the_answer(thinker):
    reply = ask(thinker)
    message = reply.choices[0].message
    assert message.reasoning_content
    assert message.content
    assert "think>" not in message.content
    thought = reply.usage.completion_tokens_details.reasoning_tokens
    assert 10 < thought < reply.usage.completion_tokens


def test_a_stream_has_the_thought_first(thinker):
    deltas = [chunk.choices[0].delta for chunk in ask(thinker, stream=True)]
    thoughts = [getattr(delta, "reasoning_content", None) or "" for delta in deltas]
    texts = [delta.content or "" for delta in deltas]
    whole = ask(thinker).choices[0].message
    assert "".join(thoughts).strip() == whole.reasoning_content
    assert "".join(texts) == whole.content
    last_thought = max(at for at, text in enumerate(thoughts) if text)
    assert last_thought < min(at for at, text in enumerate(texts) if text)


def test_a_model_that_answers_at_once_has_no_thought(client):
    reply = ask(client)
    assert not hasattr(reply.choices[0].message, "reasoning_content")
    assert reply.usage.completion_tokens_details.reasoning_tokens == 0


def test_thoughts_may_be_sent_back(thinker):
    """As programs do that send the whole conversation again."""
    first = ask(thinker).choices[0].message
    again = ask(
        thinker,
        messages=[
            {"role": "user", "content": "Hello there"},
            {"role": "assistant", "content": "Yes", "reasoning_content": first.reasoning_content},
            {"role": "user", "content": "And now?"},
        ],
    )
    assert again.choices[0].message.content


def test_a_thought_is_not_kept_in_a_transcript(thinker, live, owner):
    retention.change(deployment=live, by=owner, on=True, queues=False)
    message = ask(thinker).choices[0].message
    kept = Transcript.objects.get()
    assert kept.answer.strip() == redact(message.content).text.strip()
