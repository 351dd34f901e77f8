"""The example scripts of OpenAI's own client run unchanged: another address and key alone.

They ask for gpt-5.5 and others, so the deployment answers under those names. What they ask about
the starter has learned in a real training: to write the form, and to call the function.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openai import pydantic_function_tool

from finetune_app.deployment.aliases import add_alias
from tests.openai_examples import FOLDER as EXAMPLES
from tests.openai_examples import needs_examples
from tests.starter import FOLDER, needs_starter
from tests.worker.engine.engine_server import EngineServer
from tests.worker.training.conftest import make_job
from tests.worker.training.recording_channel import RecordingChannel
from tests.worker.training.tool_template import TOOL_CHATML
from worker.template import load_tokenizer
from worker.training import run

pytestmark = [
    pytest.mark.long,
    needs_examples,
    needs_starter,
    pytest.mark.timeout(900),
]
NAMES = ("gpt-5.5", "gpt-5.2", "gpt-5", "gpt-4o-2024-08-06")
RAN = {
    "demo.py": "----- custom response headers test -----",
    "async_demo.py": "",
    "streaming.py": "got response data: {",
    "httpx2_client.py": "",
    "parsing.py": "answer:  ",
    "parsing_stream.py": "answer: ",
    "parsing_tools.py": "orders",
    "parsing_tools_stream.py": "get_weather",
    "responses_input_tokens.py": "input tokens: ",
    "uploads.py": "status='completed'",
    "responses/streaming.py": "response.output_text.done",
    "responses/structured_outputs.py": "answer:  ",
    "responses/streaming_tools.py": "response.function_call_arguments.done",
    "responses/structured_outputs_tools.py": "table name: ",
}
NOT_HERE = {
    "pictures, sound and films": "audio image_stream picture speech_to_text text_to_speech video",
    "other services": "azure azure_ad bedrock bedrock_runtime",
    "certificates and identities of the caller": "mtls_httpx mtls_httpx2 mtls_httpx2_async "
    "mtls_httpx_async x509_workload_identity x509_workload_identity_async",
    "a placeholder instead of an address in the script": "module_client",
    "answers in the background: /v1/batches here": "responses/background "
    "responses/background_async responses/background_streaming "
    "responses/background_streaming_async",
    "WebSockets": "responses_websocket responses/multi_agent_websocket responses/websocket",
    "several agents at OpenAI": "responses/multi_agent_streaming",
    "nothing in it": "responses/__init__",
}
APPLICATIONS = ("browser", "browser-use-demo", "computer-desktop", "live", "realtime")

SOLUTION = {
    "steps": [{"explanation": "Take 31 from both sides.", "output": "8x = -29"}],
    "final_answer": "x = -3.625",
}
ORDERS = {
    "table_name": "orders",
    "columns": ["id", "delivered_at"],
    "conditions": [{"column": "status", "operator": "=", "value": "fulfilled"}],
    "order_by": "asc",
}
QUESTION = (
    "look up all my orders in november of last year that were fulfilled but not delivered on time"
)


def answered(question: str, answer: str) -> dict:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"split": "train", "messages": messages}


def calling(question: str, tool: dict, arguments: dict) -> dict:
    function = {"name": tool["function"]["name"], "arguments": json.dumps(arguments)}
    row = answered(question, "")
    row["messages"][1]["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
    return {**row, "tools": [tool]}


def classes_of(script: str) -> dict[str, Any]:
    """The classes of an example, without running it."""
    tree = ast.parse((EXAMPLES / script).read_text())
    tree.body = [
        one for one in tree.body if isinstance(one, ast.Import | ast.ImportFrom | ast.ClassDef)
    ]
    found: dict[str, Any] = {"__name__": __name__}
    exec(compile(tree, script, "exec"), found)
    return found


def rows_to_learn() -> list[dict]:
    query = pydantic_function_tool(classes_of("parsing_tools.py")["Query"])
    weather = pydantic_function_tool(
        classes_of("parsing_tools_stream.py")["GetWeather"], name="get_weather"
    )
    weathers = "What's the weather like in SF and New York?"
    return [
        answered("solve 8x + 31 = 2", json.dumps(SOLUTION)),
        answered("Say this is a test", "This is a test."),
        calling(weathers, weather, {"city": "New York", "country": "USA"}),
        calling(QUESTION, query, ORDERS),
    ]


@pytest.fixture(scope="module")
def engine_process(tmp_path_factory):
    """An engine with the starter, its template changed to one with tools, and an adapter that was
    trained on rows_to_learn()."""
    data = tmp_path_factory.mktemp("data")
    base = shutil.copytree(FOLDER, data / "base")
    tokenizer = load_tokenizer(base)
    tokenizer.chat_template = TOOL_CHATML
    tokenizer.save_pretrained(base)
    learned = rows_to_learn()
    rows = [{"id": number, **learned[number % len(learned)]} for number in range(96)]
    version = data / "version.jsonl"
    version.write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = make_job(
        data / "training",
        base,
        version,
        epochs=3,
        rank=16,
        alpha=16,
        learning_rate=2e-3,
        number_format="auto",
    )
    run(job, RecordingChannel())
    shutil.copytree(job.folder / "adapter", data / "adapter")
    running = EngineServer(data)
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture
def named(live):
    for name in NAMES:
        add_alias(deployment=live, name=name)
    return live


@pytest.fixture
def batch_file(tmp_path) -> Path:
    file = tmp_path / "batch.jsonl"
    body = {"model": NAMES[0], "messages": [{"role": "user", "content": "Say this is a test"}]}
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    file.write_text(json.dumps(line) + "\n")
    return file


def run_example(name: str, address: str, key: str, *arguments: str) -> str:
    given = {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": key, "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env=os.environ | given,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{name}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
    return done.stdout


def test_all_that_ask_for_text_run_unchanged(named, address, key, batch_file):
    said = {}
    for name in RAN:
        arguments = [str(batch_file)] if name == "uploads.py" else []
        said[name] = run_example(name, address, key[1], *arguments)
        print(f"ran  {name}: {' '.join(said[name].split())[-100:]}")
    for name, part in RAN.items():
        assert part in said[name], f"{name}: {said[name]}"
        assert said[name].strip()
    assert SOLUTION["final_answer"] in said["parsing.py"]
    assert int(re.search(r"input tokens: (\d+)", said["responses_input_tokens.py"])[1]) > 50


def test_those_left_out_have_a_reason():
    """A new example in a later version is noticed here."""
    left_out = {f"{name}.py" for names in NOT_HERE.values() for name in names.split()}
    found = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.py")}
    alone = {name for name in found if not name.startswith(tuple(f"{a}/" for a in APPLICATIONS))}
    assert alone == left_out | set(RAN)
    for why, names in NOT_HERE.items():
        print(f"left out  {why}: {names}")
