import json

import pytest

from tests.worker.engine.tiny_models import make_adapter, make_base
from worker.channel import Job


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"), "llama")


@pytest.fixture(scope="session")
def adapter(base, tmp_path_factory):
    return make_adapter(base, tmp_path_factory.mktemp("adapter"), 1)


class Recorder:
    """A channel that records events; `stopping` is true after `stop_after` answers."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.events: list[dict] = []
        self.stop_after = stop_after

    def emit(self, event: str, **fields) -> None:
        self.events.append(json.loads(json.dumps({"event": event, **fields})))

    def of(self, event: str) -> list[dict]:
        return [e for e in self.events if e["event"] == event]

    def stopping(self) -> bool:
        return self.stop_after is not None and len(self.of("answer")) >= self.stop_after

    def check(self) -> None:
        pass


@pytest.fixture
def recorder():
    return Recorder


def row(number: int, split: str, prompt: str, answer: str) -> dict:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return {"id": number, "split": split, "messages": messages, "source": "file.csv"}


@pytest.fixture
def job(base, adapter, tmp_path):
    """An evaluation of base, tuned and the prompt baseline on four test rows."""
    rows = [row(n, "train", f"Learned {n}", "ok") for n in range(3)]
    rows += [row(10 + n, "test", "Message " + "x" * n, "ok") for n in range(4)]
    version = tmp_path / "1.jsonl"
    version.write_text("\n".join(json.dumps(r) for r in rows))
    prompt = {"instructions": "Sort it.", "shots": [{"prompt": "a", "answer": "b"}]}
    fp32 = {"base_model": str(base), "number_format": "fp32"}
    spec = {
        "version": str(version),
        "measure": {"kind": "exact", "settings": {}},
        "candidates": [
            {"id": 3, "name": "base", "adapter": None, **fp32},
            {"id": 4, "name": "tuned", "adapter": str(adapter), **fp32},
            {"id": 6, "name": "prompt", "adapter": None, **fp32, **prompt},
        ],
        "max_new_tokens": 12,
        "general": False,
        "seed": 17,
    }
    return Job("evaluation", tmp_path / "evaluations" / "1", spec)


@pytest.fixture
def short_checks(monkeypatch):
    """A few prompts and texts instead of all of them."""
    from worker.evaluation.general_check import check, perplexity
    from worker.evaluation.probes import refusals

    real = perplexity.text_windows
    monkeypatch.setattr(check, "text_windows", lambda engine: real(engine)[:2])
    monkeypatch.setattr(check, "MAX_NEW_TOKENS", 4)
    monkeypatch.setattr(refusals, "REFUSAL_TOKENS", 2)
