"""Rows that call tools, as OpenAI's fine-tuning files have them."""

import json
from typing import Any

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
TOOLS = [WEATHER]


def call(arguments: dict[str, Any], *, name: str = "get_weather", call_id: str = "call_x1"):
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": call_id, "type": "function", "function": function}


def question(city: str) -> dict:
    return {"role": "user", "content": f"What is the weather in {city}?"}


def calling(*calls: dict) -> dict:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def result(text: str, call_id: str = "call_x1") -> dict:
    return {"role": "tool", "content": text, "tool_call_id": call_id}


def answer(text: str) -> dict:
    return {"role": "assistant", "content": text}


def answered_row(city: str) -> dict:
    """A question, a call, its result, and the answer."""
    messages = [question(city), calling(call({"city": city})), result("18 C"), answer("18 C.")]
    return {"messages": messages, "tools": TOOLS}


def calling_row(city: str) -> dict:
    """A question that is answered by a call."""
    messages = [question(city), calling(call({"days": 2, "city": city}))]
    return {"messages": messages, "tools": TOOLS, "parallel_tool_calls": False}


def as_stored(messages: list[dict]) -> list[dict]:
    """Messages as a version has them: a call without text has an empty text."""
    return [one | {"content": one["content"] or ""} for one in messages]
