"""The live page says what computes the answers, and why it is not what somebody would expect."""

import re

import pytest

from finetune_app.core import engine_client


@pytest.fixture
def page(live, as_viewer, url, monkeypatch):
    def look(**told) -> str:
        state = {
            "base_model": "/data/models/tiny",
            "number_format": "bf16",
            "adapters": [],
            "memory_bytes": 10**9,
            "queue": 0,
            "queue_limit": 64,
            **told,
        }
        monkeypatch.setattr(engine_client, "health_now", lambda _timeout: state)
        content = as_viewer.get(url("monitoring:page")).content.decode()
        return re.sub(r">\s+|\s+<", lambda space: space[0].strip(), " ".join(content.split()))

    return look


def test_vllm_does(page):
    assert "vLLM computes the answers." in page(engine="vllm", why_not_vllm="")


def test_our_own_engine_does_where_vllm_cannot(page):
    why = "vLLM loads an adapter and then answers as its base model"
    said = page(engine="own", why_not_vllm=why)
    assert f"Finetune’s own engine computes the answers. {why}." in said


def test_an_adapter_that_is_merged_into_its_model_is_told(page):
    beside = page(engine="own", adapters=["/data/a", "/data/b"], merged=None)
    assert "<dd>2</dd>" in beside
    merged = page(engine="own", adapters=["/data/a", "/data/b"], merged="/data/b")
    assert "<dd>2, one of them merged into the model</dd>" in merged
    alone = page(engine="own", adapters=["/data/b"], merged="/data/b")
    assert "<dd>1, merged into the model</dd>" in alone


def test_nothing_is_said_where_nobody_expects_vllm(page):
    assert "computes the answers" not in page(engine="own", why_not_vllm="")
