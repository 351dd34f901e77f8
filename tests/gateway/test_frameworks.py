"""LangChain, LlamaIndex and LiteLLM ask as they ask OpenAI: another address, key and model."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests import python_clients
from tests.gateway.chat_requests import MODEL

pytestmark = [
    python_clients.needs_clients,
    pytest.mark.timeout(900),
    pytest.mark.one_database,
]
SCRIPT = Path(__file__).with_name("frameworks.py")
NAMES = ("langchain", "llama_index", "litellm")
CALL = '{"name": "get_weather", "arguments": {"city": "Rome"}}'


def run(address: str, key: str, *steps: str) -> dict:
    """What each step got. One process for all, since their imports take seconds."""
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    done = subprocess.run(
        [str(python_clients.PYTHON), str(SCRIPT), address, key, MODEL, *steps],
        env=os.environ | quiet,
        capture_output=True,
        text=True,
        timeout=600,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, done.stderr[-2000:]
    assert {row["name"]: row["broke"] for row in rows if "broke" in row} == {}
    return {row["name"]: row["got"] for row in rows}


def test_each_is_answered_whole_streamed_and_in_a_form(client, address, key, live):
    """The real engine, with a tiny model."""
    asked = [{"role": "user", "content": "Hello there"}]
    reply = client.chat.completions.create(model=MODEL, messages=asked, max_tokens=60)
    wanted = reply.choices[0].message.content
    kinds = ("chat", "stream", "structured")
    steps = [f"{name}_{kind}" for name in NAMES for kind in kinds]
    got = run(address, key[1], *steps, "langchain_responses")
    for name in NAMES:
        assert got[f"{name}_chat"] == got[f"{name}_stream"] == wanted
        assert isinstance(got[f"{name}_structured"]["urgent"], bool)
    assert got["langchain_responses"] == wanted


def test_each_has_its_functions_called(address, key, said, live):
    said["texts"] = [CALL]
    got = run(address, key[1], *(f"{name}_tools" for name in NAMES))
    assert got == {f"{name}_tools": ["get_weather", {"city": "Rome"}] for name in NAMES}
    assert all(asked.get("required_tools") for asked in said["asked"]), "each required the call"
