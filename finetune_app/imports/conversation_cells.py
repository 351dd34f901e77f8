"""Reads conversations in cells, as OpenAI, Vertex and ShareGPT write them. Pure Python."""

from collections.abc import Mapping
from typing import Any

from finetune_app.core.chat_messages import Message, is_learned
from finetune_app.core.tool_calls import has_answer
from finetune_app.imports.cell_values import (
    JSON_STARTS,
    RowError,
    cell_text,
    json_cell,
    parsed_cell,
)
from finetune_app.imports.thoughts import given_thought, thought_keys, with_own_thought
from finetune_app.imports.tool_calls import message_calls, result_keys
from finetune_app.imports.transcripts import transcript

ROLE_BY_NAME = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "tool": "tool",
}
TOOL_ROLES = ("function", "function_call", "observation", "ipython")
ROLE_FIELDS = ("role", "from", "speaker", "author")
CONTENT_FIELDS = ("content", "value", "text", "parts")
PLAIN_KEYS = {"role", "content", "weight"}  # of nearly every message; all are read
WEIGHTS = {"0": 0, "0.0": 0, "1": 1, "1.0": 1}  # OpenAI's, by how they may be written
MAX_MESSAGES = 1_000


def whole_conversation(value: Any, keep: bool) -> list[Message]:
    found = conversation_in_cell(value) or transcript(value)
    if not found:
        raise RowError("There is no conversation in this row.")
    messages = read_messages(found)
    roles = [message["role"] for message in messages]
    if keep and _is_asked(messages):
        if roles[-1] in ("user", "tool"):
            return [*messages, {"role": "assistant", "content": ""}]
        if roles[-1] == "assistant" and not has_answer(messages[-1]):
            return [*messages[:-1], {"role": "assistant", "content": ""}]
    if "assistant" not in roles:
        raise RowError("The assistant says nothing here, so there is nothing to learn.")
    if roles[-1] != "assistant":
        raise RowError("The conversation does not end in an answer.")
    if not has_answer(messages[-1]):
        raise RowError("The last answer is empty, so there is nothing to learn.")
    require_question(messages)
    require_learned(messages)
    return messages


def require_question(messages: list[Message]) -> None:
    """Raises RowError."""
    if not _is_asked(messages):
        raise RowError("Nobody asks anything in this conversation.")


def _is_asked(messages: list[Message]) -> bool:
    return any(message["role"] == "user" and message["content"].strip() for message in messages)


def require_learned(messages: list[Message]) -> None:
    """Raises RowError for the weight 0 on the last answer, which evaluations compare with."""
    if messages[-1].get("weight") != 0:
        return
    if not any(is_learned(message) for message in messages):
        raise RowError("Every answer has the weight 0, so there is nothing to learn.")
    raise RowError(
        "The last answer has the weight 0, but it is the one to learn and to be tested on. "
        "End the row with an answer to learn."
    )


def read_messages(found: list[Any]) -> list[Message]:
    if len(found) > MAX_MESSAGES:
        most = f"{MAX_MESSAGES:,}"
        raise RowError(f"The conversation has {len(found):,} messages; the most is {most}.")
    return [_message(item, number) for number, item in enumerate(found, 1)]


def _message(item: Any, number: int) -> Message:
    if not isinstance(item, Mapping):
        raise RowError(f"Message {number} has no speaker.")
    role_name = next((item[name] for name in ROLE_FIELDS if name in item), None)
    content = next((item[name] for name in CONTENT_FIELDS if name in item), None)
    if not isinstance(role_name, str) or not role_name.strip():
        raise RowError(f"Message {number} has no speaker.")
    role = ROLE_BY_NAME.get(normalised_name(role_name))
    if normalised_name(role_name) in TOOL_ROLES:
        raise RowError(
            f"Message {number} has the role “{role_name.strip()}”. Write calls as “tool_calls” of "
            "the assistant, and their results with the role “tool”, as OpenAI does."
        )
    if role is None:
        who = role_name.strip()[:40]
        raise RowError(f"We don't know who “{who}” is in message {number}: you, or the assistant?")
    calls = message_calls(item, number)
    if calls and role != "assistant":
        raise RowError(f"Message {number} calls a tool, but only the assistant can.")
    if content is None and item.get("function_call"):
        raise RowError(f"Message {number} has a “function_call”. Write it as “tool_calls”.")
    if content is None and not calls:
        raise RowError(f"Message {number} has no text.")
    message: Message = {"role": role, "content": "" if content is None else _content_text(content)}
    if calls:
        message["tool_calls"] = calls
    if role == "tool":
        message.update(result_keys(item))  # type: ignore[typeddict-item]
    if _has_weight_zero(item.get("weight"), role, number):
        message["weight"] = 0
    thought = given_thought(item, role, number)
    return (
        with_own_thought(message, thought, f"Message {number}") if role == "assistant" else message
    )


def read_keys(message: Mapping[str, Any], role: str) -> tuple[str, ...]:
    """The keys of a message that are read, beside its role and its text."""
    name = message.get(role)
    speaker = ROLE_BY_NAME.get(normalised_name(name)) if isinstance(name, str) else None
    if speaker == "tool":
        return ("weight", "tool_call_id", "name")
    return ("weight", "tool_calls", *thought_keys(message, speaker == "assistant"))


def _has_weight_zero(value: Any, role: str, number: int) -> bool:
    """Whether this is an answer that is read and not learned. Raises RowError."""
    if value is None:
        return False
    weight = cell_text(value).strip()
    if weight not in WEIGHTS:
        raise RowError(
            f"Message {number} has the weight {weight[:40]}. A weight is 0 (read, not learned) "
            "or 1 (learned)."
        )
    if role != "assistant" and WEIGHTS[weight]:
        raise RowError(
            f"Message {number} has the weight {weight}, but only the assistant's are learned."
        )
    return role == "assistant" and not WEIGHTS[weight]


def _content_text(content: Any) -> str:
    """The text of a message, whose content may be a list of parts."""
    if isinstance(content, list) and content and all(isinstance(p, Mapping) for p in content):
        texts = [part.get("text") for part in content]
        if not all(isinstance(text, str) for text in texts):
            raise RowError("A message holds something other than text, such as an image.")
        return "\n".join(texts)
    return cell_text(content)


def system_text(value: Any) -> str:
    """A system prompt as text, or in Vertex' format: {"role", "parts": [{"text"}]}."""
    found = json_cell(value, "{") or value
    if isinstance(found, Mapping) and found.keys() <= {"role", *CONTENT_FIELDS}:
        content = next((found[name] for name in CONTENT_FIELDS if name in found), None)
        return _content_text(content) if content is not None else cell_text(value)
    return cell_text(value)


def may_be_conversation(text: str) -> bool:
    """Whether it is worth parsing: a conversation has the name of a role field in it."""
    return text[:1] in JSON_STARTS and any(f'"{name}"' in text for name in ROLE_FIELDS)


def conversation_in_cell(value: Any) -> list[Any] | None:
    """The messages of a conversation, also of one as JSON text; None when it is none."""
    value = parsed_cell(value)
    if isinstance(value, Mapping):
        value = value.get("messages")
    if not isinstance(value, list):
        return None
    has_roles = any(isinstance(v, Mapping) and v.keys() & set(ROLE_FIELDS) for v in value)
    return value if has_roles or not value else None


def normalised_name(name: str) -> str:
    return " ".join(name.strip().strip('"').lower().split())
