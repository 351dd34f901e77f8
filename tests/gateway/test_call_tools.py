"""Tools over the API: the model is shown them, and its calls come back as OpenAI writes them."""

import json
import shutil

import jsonschema
import openai
import pytest

from finetune_app.candidates import services
from finetune_app.core import engine_client
from finetune_app.gateway import model_lookup
from finetune_app.request_log import retention
from finetune_app.request_log.models import Request, Transcript
from tests.gateway.chat_requests import MODEL, ask
from tests.tool_rows import TOOLS, call, calling, question, result
from tests.worker.conftest import wait_for
from tests.worker.training.tool_template import TOOL_CHATML
from worker.template import load_tokenizer

CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>'
ROME = [question("Rome")]


@pytest.fixture
def answers(monkeypatch):
    """An engine that answers with this text, in pieces; collects what it was asked."""
    said = {"text": CALL, "asked": []}

    async def stream(base_model, requests, **_settings):
        said["asked"] += requests
        for request in requests:
            text = said["text"]
            for start in range(0, len(text), 9):
                yield {"candidate": request["candidate"], "text": text[start : start + 9]}
            yield {"candidate": request["candidate"], "done": True, "finish_reason": "stop"}

    monkeypatch.setattr(engine_client, "stream_chat", stream)
    return said


def test_a_call_comes_back_as_a_call(client, answers):
    [choice] = ask(client, messages=ROME, tools=TOOLS).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    [made] = choice.message.tool_calls
    assert made.function.name == "get_weather"
    assert json.loads(made.function.arguments) == {"city": "Rome"}
    [asked] = answers["asked"]
    assert asked["tools"] == TOOLS


def test_its_result_is_answered(client, answers):
    answers["text"] = "It has 18 degrees."
    messages = [*ROME, calling(call({"city": "Rome"})), result("18 C")]
    [choice] = ask(client, messages=messages, tools=TOOLS).choices
    assert (choice.finish_reason, choice.message.content) == ("stop", "It has 18 degrees.")
    assert choice.message.tool_calls is None
    [asked] = answers["asked"]
    assert asked["messages"][1]["tool_calls"] == [call({"city": "Rome"})]
    assert asked["messages"][2] == result("18 C")


def test_a_stream_ends_in_the_call_and_shows_none_of_its_text(client, answers):
    answers["text"] = f"One moment.\n{CALL}"
    chunks = [one.choices[0] for one in ask(client, messages=ROME, tools=TOOLS, stream=True)]
    assert "".join(one.delta.content or "" for one in chunks) == "One moment."
    [made] = [one for chunk in chunks for one in chunk.delta.tool_calls or []]
    assert (made.index, made.function.name) == (0, "get_weather")
    assert chunks[-1].finish_reason == "tool_calls"


def test_without_tools_such_a_text_is_a_text(client, answers):
    [choice] = ask(client, messages=ROME).choices
    assert choice.message.content == CALL
    [choice] = ask(client, messages=ROME, tools=TOOLS, tool_choice="none").choices
    assert choice.message.content == CALL


def test_texts_of_requests_with_tools_are_not_kept(client, answers, live, owner):
    """A kept text may become an example, and it has no tools."""
    retention.change(deployment=live, by=owner, on=True)
    ask(client, messages=ROME, tools=TOOLS)
    assert wait_for(lambda: Request.objects.count() == 1)
    assert not Transcript.objects.exists()
    ask(client, messages=ROME)
    assert wait_for(lambda: Transcript.objects.count() == 1)


BARE_CALL = '{"name": "get_weather", "arguments": {"city": "Rome"}}'
NAMED = {"type": "function", "function": {"name": "get_weather"}}


@pytest.mark.parametrize("choice", ["required", NAMED])
def test_a_call_can_be_required(client, answers, choice):
    """The engine keeps the answer to the form of a call."""
    answers["text"] = BARE_CALL
    [choice] = ask(client, messages=ROME, tools=TOOLS, tool_choice=choice).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls[0].function.name == "get_weather"
    [asked] = answers["asked"]
    assert (asked["tools"], asked["required_tools"]) == (TOOLS, ["get_weather"])


@pytest.mark.parametrize("choice", ["auto", openai.omit])
def test_without_a_choice_the_model_decides(client, answers, choice):
    """The engine holds the calls that it begins to the tools."""
    ask(client, messages=ROME, tools=TOOLS, tool_choice=choice)
    [asked] = answers["asked"]
    assert asked["tools"] == TOOLS
    assert "required_tools" not in asked
    assert "parallel_tool_calls" not in asked


def test_without_parallel_calls_an_answer_ends_with_its_first(client, answers):
    answers["text"] = CALL + CALL.replace("Rome", "Oslo")
    both, one = (
        ask(client, messages=ROME, tools=TOOLS, parallel_tool_calls=parallel).choices[0].message
        for parallel in (True, False)
    )
    assert len(both.tool_calls) == 2
    assert answers["asked"][1]["parallel_tool_calls"] is False
    assert [json.loads(call.function.arguments)["city"] for call in one.tool_calls] == ["Rome"]


def test_parameters_that_cannot_be_kept_to_are_told(client, answers, monkeypatch):
    async def refuse(base_model, requests, **_settings):
        raise engine_client.RequestRejected("cannot be followed", "response_format")
        yield

    monkeypatch.setattr(engine_client, "stream_chat", refuse)
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, messages=ROME, tools=TOOLS, tool_choice="required")
    assert refused.value.param == "tools"


def test_a_model_without_tools_says_so(client):
    """Its template has none: the tiny model speaks plain ChatML."""
    with pytest.raises(openai.BadRequestError, match="chat template has no tools") as refused:
        ask(client, messages=ROME, tools=TOOLS)
    assert refused.value.param == "tools"
    assert ask(client, messages=ROME, model=MODEL).choices


def function(parameters):
    return {"type": "function", "function": {"name": "a", "parameters": parameters}}


UNIT = {"type": "object", "properties": {"unit": {"enum": ["C", "F"]}}, "required": ["unit"]}
LOOKAHEAD = {"type": "object", "properties": {"x": {"type": "string", "pattern": "(?=a)b"}}}


@pytest.fixture
def with_tools(live, engine_process, monkeypatch):
    """The tiny model of the real engine, with a template that has tools."""
    folder = engine_process.data / "with-tools"
    if not folder.exists():
        shutil.copytree(engine_process.data / "base", folder)
        tokenizer = load_tokenizer(folder)
        tokenizer.chat_template = TOOL_CHATML.replace("<|im_", "<|")
        tokenizer.save_pretrained(folder)
    found = model_lookup.engine_folder
    for module in (services, model_lookup):
        monkeypatch.setattr(
            module,
            "engine_folder",
            lambda name: folder if found(name).name == "base" else found(name),
        )


def test_the_engine_writes_the_call_that_is_required(client, with_tools):
    options = {"messages": ROME, "tools": [function(UNIT)], "max_tokens": 300}
    [choice] = ask(client, tool_choice="required", **options).choices
    assert choice.finish_reason == "tool_calls"
    [made] = choice.message.tool_calls
    assert made.function.name == "a"
    jsonschema.validate(json.loads(made.function.arguments), UNIT)
    [free] = ask(client, **options | {"max_tokens": 12}).choices
    assert free.message.content
    assert free.message.tool_calls is None


def test_a_schema_that_cannot_be_followed_is_refused_only_where_a_call_is_required(
    client, with_tools
):
    options = {"messages": ROME, "tools": [function(LOOKAHEAD)]}
    with pytest.raises(openai.BadRequestError, match="cannot be followed") as refused:
        ask(client, tool_choice="required", **options)
    assert refused.value.param == "tools"
    assert ask(client, **options).choices


GOOD = call({"city": "Rome"})
ANSWER = {"role": "assistant", "content": "Warm."}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tools": "get_weather"}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": "always"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "function"}}, "tool_choice"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "fly"}}},
            "tool_choice",
        ),
        ({"tools": [function("x")]}, "tools"),
        ({"tools": [function([])]}, "tools"),
        ({"tools": TOOLS, "parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"tools": TOOLS, "response_format": {"type": "json_object"}}, "response_format"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"messages": [*ROME, calling({"id": "1"})]}, "messages[1].tool_calls"),
        ({"messages": [*ROME, result("18 C")]}, "messages"),
        ({"messages": [*ROME, calling(GOOD), ANSWER, *ROME]}, "messages"),
        (
            {"messages": [*ROME, {"role": "assistant", "content": None}, *ROME]},
            "messages[1].content",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(client, more, param):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, messages=ROME, extra_body=more)
    assert refused.value.param == param
