import pytest

from finetune_app.core import engine_client
from tests.deployment_fixtures import separate_rate_limits, url  # noqa: F401
from tests.engine_fixtures import address, client, engine_process, key, live  # noqa: F401


@pytest.fixture
def said(monkeypatch):
    """An engine that says these texts, one after the other; collects what it was asked."""
    found = {"texts": ["Ready."], "thought": "", "asked": [], "finish": "stop", "error": ""}

    async def stream(base_model, requests, **_settings):
        [request] = requests
        found["asked"].append(request)
        name = request["candidate"]
        texts = found["texts"]
        text = texts.pop(0) if len(texts) > 1 else texts[0]
        for piece in found["thought"].split(" ") if found["thought"] else []:
            yield {"candidate": name, "thought": f"{piece} "}
        for start in range(0, len(text), 6):
            yield {"candidate": name, "text": text[start : start + 6]}
        if found["error"]:
            yield {"candidate": name, "done": True, "error": found["error"]}
            return
        yield {
            "candidate": name,
            "done": True,
            "finish_reason": found["finish"],
            "tokens": 7,
            "thought_tokens": 2 if found["thought"] else 0,
            "prompt_tokens": 5,
        }

    monkeypatch.setattr(engine_client, "stream_chat", stream)
    return found
