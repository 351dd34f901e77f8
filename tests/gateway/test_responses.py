"""The Responses API, by OpenAI's own client."""

import json

import openai
import pydantic
import pytest
from jsonschema import Draft202012Validator

from finetune_app.request_log.models import Request
from tests.gateway.chat_requests import MODEL
from tests.gateway.response_requests import CALL, WEATHER, respond, user
from tests.openai_description import DESCRIPTION
from tests.worker.conftest import wait_for


def chat(client, *messages, **more) -> str:
    reply = client.chat.completions.create(
        **{"model": MODEL, "messages": list(messages), "max_tokens": 12} | more
    )
    return reply.choices[0].message.content


# ---- Text in, text out ----


def test_a_response_says_what_a_chat_completion_says(client):
    """The real engine, with a tiny model."""
    reply = respond(client)
    assert reply.output_text == chat(client, user("Hello there"))
    assert (reply.object, reply.model) == ("response", MODEL)
    assert reply.status in ("completed", "incomplete")
    assert reply.usage.total_tokens == reply.usage.input_tokens + reply.usage.output_tokens
    [item] = reply.output
    assert (item.type, item.role) == ("message", "assistant")


def test_items_and_instructions_are_messages(client):
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Hello "}]},
        {"type": "message", "role": "assistant", "content": "Hi."},
        user("Bye"),
    ]
    wanted = chat(
        client,
        {"role": "system", "content": "You sell bikes."},
        {"role": "system", "content": "Be brief."},
        user("Hello "),
        {"role": "assistant", "content": "Hi."},
        user("Bye"),
    )
    reply = respond(client, items, instructions="You sell bikes.")
    assert reply.output_text == wanted
    assert reply.instructions == "You sell bikes."


def test_at_the_token_limit_it_is_incomplete(client):
    reply = respond(client, max_output_tokens=1)
    assert (reply.status, reply.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert reply.output[0].status == "incomplete"


def test_sampling_is_followed_and_told_again(client, said, live):
    reply = respond(client, temperature=0.5, top_p=0.9, metadata={"a": "b"}, user="mara")
    [asked] = said["asked"]
    assert (asked["temperature"], asked["top_p"], asked["max_new_tokens"]) == (0.5, 0.9, 12)
    assert (reply.temperature, reply.top_p, reply.max_output_tokens) == (0.5, 0.9, 12)
    assert (reply.metadata, reply.user) == ({"a": "b"}, "mara")


def test_a_form_is_kept_to_and_parsed(client):
    class Ticket(pydantic.BaseModel):
        urgent: bool

    reply = client.responses.parse(
        model=MODEL, input="Hello", text_format=Ticket, max_output_tokens=200, temperature=0
    )
    assert isinstance(reply.output_parsed, Ticket)
    assert reply.text.format.name == "Ticket"


def test_log_probabilities(client):
    reply = respond(client, include=["message.output_text.logprobs"], top_logprobs=2)
    entries = reply.output[0].content[0].logprobs
    assert "".join(one.token for one in entries).startswith(reply.output_text[:1])
    assert len(entries[0].top_logprobs) == 2


def test_a_thought_is_an_item_before_the_message(client, said, live):
    said["thought"] = "It is easy."
    reply = respond(client)
    thought, message = reply.output
    assert (thought.type, thought.content[0].text) == ("reasoning", "It is easy.")
    assert message.content[0].text == "Ready."
    assert reply.usage.output_tokens_details.reasoning_tokens == 2
    thoughts_and_all = [one.model_dump(exclude_none=True) for one in reply.output]
    respond(client, [*thoughts_and_all, user("Sure?")])
    assert [one["role"] for one in said["asked"][-1]["messages"]] == ["assistant", "user"]
    assert "easy" not in json.dumps(said["asked"][-1]["messages"])


# ---- Streams ----


def events_of(client, **more) -> list:
    events = list(respond(client, stream=True, **more))
    assert [one.sequence_number for one in events] == list(range(len(events)))
    schema = {
        "$ref": "#/components/schemas/ResponseStreamEvent",
        "components": DESCRIPTION["components"],
    }
    for one in events:
        problems = Draft202012Validator(schema).iter_errors(one.to_dict())
        assert not list(problems), one.type
    return events


def kinds(events) -> list[str]:
    """Their types, with repeated deltas once."""
    found: list[str] = []
    for one in events:
        if not (found and one.type == found[-1] and one.type.endswith(".delta")):
            found.append(one.type)
    return found


MESSAGE = [
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]


def test_a_stream_has_openais_sequence_of_events(client):
    events = events_of(client)
    assert kinds(events)[:-1] == ["response.created", "response.in_progress", *MESSAGE]
    text = "".join(one.delta for one in events if one.type == "response.output_text.delta")
    last = events[-1].response
    assert last.output_text == text == respond(client).output_text
    assert {one.response.id for one in events if hasattr(one, "response")} == {last.id}
    assert events[0].response.status == "in_progress"


def test_the_clients_own_stream_adds_up(client, said, live):
    with client.responses.stream(model=MODEL, input="Hello") as stream:
        text = "".join(one.delta for one in stream if one.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == "Ready."


def test_a_thought_streams_first(client, said, live):
    said["thought"] = "It is easy."
    events = events_of(client)
    assert kinds(events) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.content_part.done",
        "response.output_item.done",
        *MESSAGE,
        "response.completed",
    ]
    added = [one for one in events if one.type == "response.output_item.added"]
    assert [(one.output_index, one.item.type) for one in added] == [
        (0, "reasoning"),
        (1, "message"),
    ]


def test_an_empty_answer_is_an_empty_message(client, said, live):
    said["texts"] = [""]
    events = events_of(client)
    assert kinds(events)[2:-1] == [kind for kind in MESSAGE if "delta" not in kind]
    assert events[-1].response.output[0].content[0].text == ""


def test_a_stream_that_fails_says_so(client, said, live):
    said["error"] = "The model broke down."
    events = events_of(client)
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "server_error"
    assert "broke down" in events[-1].response.error.message
    wait_for(lambda: Request.objects.filter(status=503).exists(), seconds=10)


# ---- Tools ----


def test_a_function_is_called_and_its_result_answered(client, said, live):
    said["texts"] = [CALL, "It has 18 degrees."]
    reply = respond(client, "Rome?", tools=[WEATHER])
    [call] = reply.output
    assert (call.type, call.name) == ("function_call", "get_weather")
    assert json.loads(call.arguments) == {"city": "Rome"}
    assert said["asked"][0]["tools"][0]["function"]["name"] == "get_weather"
    items = [user("Rome?"), call.to_dict()]
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "18 C"})
    assert respond(client, items, tools=[WEATHER]).output_text == "It has 18 degrees."
    sent = said["asked"][1]["messages"]
    assert [one["role"] for one in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] == call.call_id


def test_a_call_streams_with_its_arguments(client, said, live):
    said["texts"] = [f"One moment.\n{CALL}"]
    events = events_of(client, tools=[WEATHER])
    assert kinds(events)[8:] == [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    message, call = events[-1].response.output
    assert (message.content[0].text, call.name) == ("One moment.", "get_weather")


# ---- Refused ----


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"truncation": "auto"}, "truncation"),
        ({"reasoning": {"effort": "high"}}, "reasoning"),
        ({"text": {"verbosity": "high"}}, "text.verbosity"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tools": '[{"type": "function", "function": {"name": "f"}}]'}, "tools"),
        ({"tools": [{"type": "mcp", "server_label": "x", "server_url": "y"}]}, "tools[0]"),
        ({"tools": "x"}, "tools"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": [{"role": "bot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input[0].content",
        ),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"input": [user("x"), {"role": "assistant", "content": "y"}]}, "input"),
        ({"input": "word " * 4000}, "input"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"store": "yes"}, "store"),
        ({"store": 0}, "store"),
        ({"instructions": ["x"]}, "instructions"),
        ({"previous_response_id": 7}, "previous_response_id"),
        ({"model": ""}, "model"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(client, more, param):
    with pytest.raises(openai.BadRequestError) as refused:
        respond(client, extra_body=more)
    assert refused.value.param == param
    assert "messages" not in refused.value.body["message"].split("“")[-1]


def test_an_unknown_model_gets_a_404(client):
    with pytest.raises(openai.NotFoundError):
        respond(client, model="gpt-4o")
