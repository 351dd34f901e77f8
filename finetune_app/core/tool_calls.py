"""Tool calls as text: how an answer that calls tools is compared, and found in a model's words.

Pure Python. An answer that calls tools is compared by its calls alone, in one canonical form:
{"name": ..., "arguments": {...}} with sorted arguments, several of them as a sorted list. See
docs/decisions/0049-tool-calls-are-compared-as-json.md.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from finetune_app.core.chat_messages import FunctionCall, Message, Tool

NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
MAX_CALLS = 64  # in one answer
# What templates put around a call. A special token of these is already gone from an answer's text.
MARKS = re.compile(
    r"</?(?:tool_calls?|functioncall|function_call)>|\[/?TOOL_CALLS\]|<\|/?python_tag\|>|"
    r"```(?:json|tool_call|tool_code)?"
)
ARGUMENT_KEYS = ("arguments", "parameters")
_DECODER = json.JSONDecoder()


def name_of(tool: Tool) -> str:
    return str(tool["function"]["name"])


def answer_text(message: Message) -> str:
    """What an answer says, for a table and for a measure: its calls where it has some."""
    calls = message.get("tool_calls")
    return canonical(call["function"] for call in calls) if calls else message["content"]


def message_text(message: Message) -> str:
    """All that a message says: its text, then its calls."""
    texts = (message["content"], answer_text(message) if "tool_calls" in message else "")
    return "\n".join(text for text in texts if text)


def has_answer(message: Message) -> bool:
    return bool(message.get("tool_calls") or message["content"].strip())


def canonical(calls: Iterable[FunctionCall]) -> str:
    """The calls as text that does not depend on their order, on spaces, or on the order of keys."""
    texts = sorted(_canonical_call(call) for call in calls)
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _canonical_call(call: FunctionCall) -> str:
    try:
        arguments = json.loads(call["arguments"])
    except (ValueError, RecursionError):
        arguments = call["arguments"]
    text = json.dumps(arguments, ensure_ascii=False, sort_keys=True)
    return f'{{"name": {json.dumps(call["name"], ensure_ascii=False)}, "arguments": {text}}}'


def compared_text(text: str, tools: Sequence[Tool]) -> str:
    """A model's answer in the form in which it is compared: its calls, or its text.

    Only an answer to a prompt with tools may call some: other answers may be JSON as well.
    """
    calls = calls_in(text, tools)[1] if tools else []
    return canonical(calls) if calls else text


def calls_in(text: str, tools: Sequence[Tool]) -> tuple[str, list[FunctionCall]]:
    """(the text before the first call, the calls) of a model's answer.

    Reads JSON objects with a name and arguments or parameters, one after the other or in a list,
    whatever marks stand around them. Names that are no tool of the prompt count too: calling a
    function that is not there is a wrong call, not a text. Without a mark the calls have to be
    the whole answer.
    """
    mark = MARKS.search(text)
    start = mark.start() if mark else 0
    rest = MARKS.sub(" ", text[start:])
    names = {name_of(tool) for tool in tools}
    calls = list(_read_calls(rest))
    if not calls or len(calls) > MAX_CALLS:
        return text, []
    if not mark and not any(call["name"] in names for call in calls):
        return text, []
    return text[:start].strip(), calls


def _read_calls(text: str) -> Iterator[FunctionCall]:
    """The calls of a text that is nothing else; nothing where it is something else."""
    found: list[FunctionCall] = []
    at = 0
    while at < len(text):
        if text[at] in " \t\r\n,;":
            at += 1
            continue
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        for one in value if isinstance(value, list) else [value]:
            call = _as_call(one)
            if call is None:
                return
            found.append(call)
    yield from found


def _as_call(value: Any) -> FunctionCall | None:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    key = next((key for key in ARGUMENT_KEYS if key in value), None)
    if key is None or set(value) - {"name", key, "id", "type"}:
        return None
    arguments = value[key]
    if isinstance(arguments, str):  # some models write the arguments as JSON text
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return None
    if not isinstance(arguments, dict):
        return None
    return {"name": value["name"], "arguments": json.dumps(arguments, ensure_ascii=False)}
