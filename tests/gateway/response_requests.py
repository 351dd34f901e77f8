"""Requests of the Responses API."""

from tests.gateway.chat_requests import MODEL

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": True,
}
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>'


def respond(client, asked="Hello there", **more):
    return client.responses.create(
        **{"model": MODEL, "input": asked, "max_output_tokens": 12} | more
    )


def user(text: str) -> dict:
    return {"role": "user", "content": text}
