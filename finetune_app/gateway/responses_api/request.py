"""Turns a request for a response into one for chat completions, which validates it."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from finetune_app.gateway.errors import ApiError, invalid_request
from finetune_app.gateway.json_body import JsonObject
from finetune_app.gateway.request_fields import metadata_field, object_field
from finetune_app.gateway.responses_api.items import (
    chat_tools,
    input_items,
    messages_of,
    response_tools,
)
from finetune_app.gateway.schemas import TextRequest, chat_request

LOGPROBS = "message.output_text.logprobs"  # of “include”
UNSUPPORTED = {
    "background": "A response is answered at once. For work in the background use /v1/batches.",
    "conversation": "Send “previous_response_id”, or the whole conversation as “input”.",
    "prompt": "Prompts are not stored here; instructions are written on the page of the goal.",
    "max_tool_calls": "It limits built-in tools, and there are none here.",
    "context_management": "Nothing of a conversation is left out here.",
    "moderation": "Nothing is moderated here.",
    "personality": "The style is what the model has learned, and what its instructions say.",
}
# The names in chat completions, and in the Responses API.
NAMES = {
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
}


@dataclass(frozen=True)
class ResponseRequest:
    """A validated request. `chat` is what answers it; the rest is told again in the response.

    items: of “input”, without those of the previous response.
    store: None where the program does not say.
    """

    chat: TextRequest
    items: list[JsonObject]
    instructions: str | None
    previous_response_id: str | None
    store: bool | None
    metadata: dict[str, str]
    text_format: JsonObject
    tools: list[JsonObject]
    tool_choice: object
    parallel_tool_calls: bool
    max_output_tokens: object
    user: object


def parse_response_request(
    given: JsonObject, earlier: Sequence[JsonObject] = ()
) -> ResponseRequest:
    """earlier: the items of the previous response, and of those before. Raises ApiError."""
    _refuse_unsupported(given)
    items = input_items(given.get("input"))
    instructions = given.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        raise invalid_request("“instructions” is a text.", "instructions")
    text_format = object_field(object_field(given, "text"), "format") or {"type": "text"}
    first: list[JsonObject] = []
    if instructions:
        first = [{"role": "system", "content": instructions}]
    chat: JsonObject = {
        "model": given.get("model"),
        "messages": [*first, *messages_of([*earlier, *items])],
        "max_completion_tokens": given.get("max_output_tokens"),
        "response_format": _chat_format(text_format),
        "tool_choice": _chat_choice(given.get("tool_choice")),
        **_logprobs(given),
    }
    if given.get("tools"):
        chat["tools"] = chat_tools(given["tools"])
    for name in ("temperature", "top_p", "parallel_tool_calls", "user", "stream"):
        chat[name] = given.get(name)
    with names_of_responses():
        asked = replace(chat_request(chat), prompt_field="input")
    return ResponseRequest(
        chat=asked,
        items=items,
        instructions=instructions,
        previous_response_id=previous_id(given),
        store=_store(given),
        metadata=metadata_field(given),
        text_format=text_format,
        tools=response_tools(chat.get("tools")),
        tool_choice=given.get("tool_choice") or "auto",
        parallel_tool_calls=given.get("parallel_tool_calls") is not False,
        max_output_tokens=given.get("max_output_tokens"),
        user=given.get("user") if isinstance(given.get("user"), str) else None,
    )


def previous_id(given: JsonObject) -> str | None:
    """Raises ApiError."""
    value = given.get("previous_response_id")
    if value is not None and not isinstance(value, str):
        raise invalid_request("“previous_response_id” is a text.", "previous_response_id")
    return value or None


@contextmanager
def names_of_responses() -> Iterator[None]:
    """Errors of chat completions name the parameters as they are called here."""
    try:
        yield
    except ApiError as error:
        raise in_names_of_responses(error) from error


def in_names_of_responses(error: ApiError) -> ApiError:
    error.message = re.sub(
        "“(" + "|".join(NAMES) + ")”", lambda match: f"“{NAMES[match[1]]}”", error.message
    )
    name = re.match(r"\w+", error.param or "")
    if name and name[0] in NAMES:
        error.param = NAMES[name[0]]
    return error


def _refuse_unsupported(given: JsonObject) -> None:
    for name, why in UNSUPPORTED.items():
        if given.get(name):
            raise _unsupported(name, f"“{name}” is not supported. {why}")
    reasoning = object_field(given, "reasoning")
    if any(value is not None for value in reasoning.values()):
        raise _unsupported(
            "reasoning",
            "“reasoning” is not supported: how long a model thinks is chosen in step 3.",
        )
    if given.get("truncation") not in (None, "disabled"):
        raise _unsupported("truncation", "“truncation” can be “disabled” alone.")
    if object_field(given, "text").get("verbosity") not in (None, "medium"):
        raise _unsupported("text.verbosity", "“verbosity” is not supported. Leave it out.")
    include = given.get("include") or []
    if not isinstance(include, list) or not all(isinstance(one, str) for one in include):
        raise invalid_request("“include” is a list of texts.", "include")
    if other := next((one for one in include if one not in (LOGPROBS, ENCRYPTED)), None):
        raise _unsupported("include", f"“include”: “{other[:80]}” is not supported.")


ENCRYPTED = "reasoning.encrypted_content"  # thoughts are not read again, so there is nothing to add


def _unsupported(param: str, message: str) -> ApiError:
    return ApiError(400, message, param=param, code="unsupported_parameter")


def _store(given: JsonObject) -> bool | None:
    store = given.get("store")
    if store is not None and not isinstance(store, bool):  # 0 is no False
        raise invalid_request("“store” is true or false.", "store")
    return store


def _logprobs(given: JsonObject) -> JsonObject:
    include: Any = given.get("include") or []
    if LOGPROBS in include or given.get("top_logprobs"):
        return {"logprobs": True, "top_logprobs": given.get("top_logprobs")}
    return {}


def _chat_format(given: JsonObject) -> object:
    if given.get("type") == "text":
        return None  # beside tools anything else is refused
    if given.get("type") != "json_schema":
        return given
    return {"type": "json_schema", "json_schema": {name: given.get(name) for name in given}}


def _chat_choice(given: Any) -> Any:
    """A function is chosen by {"type": "function", "name": …} here."""
    if isinstance(given, dict) and given.get("type") == "function":
        return {"type": "function", "function": {"name": given.get("name")}}
    return given
