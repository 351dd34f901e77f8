"""The monitoring page says which engine computes the answers, and why it is not vLLM."""

import re

import pytest

from finetune_app.core import engine_client


@pytest.fixture
def page(live, as_viewer, url, monkeypatch):
    def open_page(**health) -> str:
        state = {
            "base_model": "/data/models/tiny",
            "number_format": "bf16",
            "adapters": [],
            "memory_bytes": 10**9,
            "queue": 0,
            "queue_limit": 64,
            **health,
        }
        monkeypatch.setattr(engine_client, "health_now", lambda _timeout: state)
        content = as_viewer.get(url("monitoring:page")).content.decode()
        return re.sub(r">\s+|\s+<", lambda space: space[0].strip(), " ".join(content.split()))

    return open_page


def test_vllm_is_named(page):
    assert "vLLM computes the answers." in page(engine="vllm", why_not_vllm="")


def test_every_loaded_model_is_named(page):
    assert "tiny · bf16<br>small</dd>" in page(engine="own", also_loaded=["/data/models/small"])
    assert "tiny · bf16</dd>" in page(engine="own", also_loaded=[])


def test_the_reason_against_vllm_is_shown(page):
    why = "vLLM loads an adapter and then answers as its base model"
    shown = page(engine="own", why_not_vllm=why)
    assert f"Finetune’s own engine computes the answers. {why}." in shown


def test_a_merged_adapter_is_shown(page):
    separate = page(engine="own", adapters=["/data/a", "/data/b"], merged=None)
    assert "<dd>2</dd>" in separate
    merged = page(engine="own", adapters=["/data/a", "/data/b"], merged="/data/b")
    assert "<dd>2, one of them merged into the model</dd>" in merged
    alone = page(engine="own", adapters=["/data/b"], merged="/data/b")
    assert "<dd>1, merged into the model</dd>" in alone


def test_without_a_reason_no_engine_is_named(page):
    assert "computes the answers" not in page(engine="own", why_not_vllm="")
