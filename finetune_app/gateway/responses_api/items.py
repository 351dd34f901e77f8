"""Items of the Responses API, and the messages of a chat that they stand for."""

import uuid
from collections.abc import Sequence
from typing import Any

from finetune_app.gateway.errors import ApiError, invalid_request
from finetune_app.gateway.json_body import JsonObject

ROLES = ("user", "assistant", "system", "developer")
TEXT_PARTS = ("input_text", "output_text", "text")
MAX_ITEMS = 500


def input_items(given: Any) -> list[JsonObject]:
    """The items of “input”, each with an id, as OpenAI lists them later. Raises ApiError."""
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise invalid_request("“input” is a text, or a list with at least one item.", "input")
    if len(given) > MAX_ITEMS:
        raise invalid_request(f"“input” may have at most {MAX_ITEMS} items.", "input")
    return [_item(one, f"input[{at}]") for at, one in enumerate(given)]


def messages_of(items: Sequence[JsonObject]) -> list[JsonObject]:
    """The messages for chat completions. Calls belong to the assistant's message before them;
    thoughts are left out, as they are not read again."""
    messages: list[JsonObject] = []
    for item in items:
        kind = item["type"]
        if kind == "message":
            messages.append({"role": item["role"], "content": _text_of(item)})
        elif kind == "function_call":
            message = messages[-1] if messages else {}
            if message.get("role") != "assistant":
                message = {"role": "assistant", "content": None}
                messages.append(message)
            calls: Any = message.setdefault("tool_calls", [])
            calls.append(
                {
                    "id": item["call_id"],
                    "type": "function",
                    "function": {"name": item["name"], "arguments": item["arguments"]},
                }
            )
        elif kind == "function_call_output":
            messages.append(
                {"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]}
            )
    return messages


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex}"


def _item(given: Any, where: str) -> JsonObject:
    if not isinstance(given, dict):
        raise invalid_request(f"{where} must be an object.", where)
    kind = given.get("type") or ("message" if "role" in given else None)
    if kind == "message":
        return _message(given, where)
    if kind == "function_call":
        found = {name: _text(given, name, where) for name in ("call_id", "name", "arguments")}
        return {"id": new_id("fc"), "type": kind, **found, "status": "completed"}
    if kind == "function_call_output":
        return {
            "id": new_id("fco"),
            "type": kind,
            "call_id": _text(given, "call_id", where),
            "output": _joined(given.get("output"), f"{where}.output"),
            "status": "completed",
        }
    if kind == "reasoning":
        return {"id": new_id("rs"), "type": kind, "summary": []}
    raise ApiError(
        400,
        f"{where}: items of the type “{str(kind)[:80]}” are not supported here. There are message, "
        "function_call, function_call_output and reasoning.",
        param=where,
        code="unsupported_value",
    )


def _message(given: JsonObject, where: str) -> JsonObject:
    role = given.get("role")
    if role not in ROLES:
        raise invalid_request(f"{where}.role is one of {', '.join(ROLES)}.", f"{where}.role")
    text = _joined(given.get("content"), f"{where}.content")
    part: JsonObject = {"type": "input_text", "text": text}
    if role == "assistant":
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "id": new_id("msg"),
        "type": "message",
        "role": role,
        "content": [part],
        "status": "completed",
    }


def _joined(content: Any, where: str) -> str:
    """A text, or a list of parts of text joined. Raises ApiError."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise invalid_request(f"{where} must be a text or a list of parts.", where)
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        name = "refusal" if kind == "refusal" else "text"
        if kind not in (*TEXT_PARTS, "refusal") or not isinstance(part.get(name), str):
            raise ApiError(
                400,
                f"{where}: parts of the type “{str(kind)[:80]}” are not supported here. Only text "
                "is understood (input_text, output_text).",
                param=where,
                code="unsupported_value",
            )
        texts.append(part[name])
    return "".join(texts)


def _text(given: JsonObject, name: str, where: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise invalid_request(f"{where}.{name} is missing.", f"{where}.{name}")
    return value


def _text_of(item: JsonObject) -> str:
    parts: Any = item["content"]
    return "".join(part["text"] for part in parts)


def chat_tools(given: Any) -> Any:
    """Tools as chat completions have them. Raises ApiError for those that are no functions."""
    if not isinstance(given, list):
        raise invalid_request("“tools” is a list of functions.", "tools")
    tools = []
    for at, tool in enumerate(given):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind != "function":
            raise ApiError(
                400,
                f"“tools”: {str(kind)[:80]} is not supported here. There are tools of the type "
                "“function”, which your program runs.",
                param=f"tools[{at}]",
                code="unsupported_value",
            )
        names = ("name", "description", "parameters", "strict")
        function = {name: tool[name] for name in names if tool.get(name) is not None}
        tools.append({"type": "function", "function": function})
    return tools


def response_tools(tools: Any) -> list[JsonObject]:
    """Tools of a chat, which were validated, as a response has them."""
    found: list[JsonObject] = []
    for tool in tools or ():
        function = tool["function"]
        found.append(
            {
                "type": "function",
                "name": function["name"],
                "description": function.get("description"),
                "parameters": function.get("parameters") or {},
                "strict": bool(function.get("strict")),
            }
        )
    return found
