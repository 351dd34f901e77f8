"""Turns a row of a file into a conversation, by the column mapping that a person confirmed.

Pure Python, shared by the pages (the three samples) and by the child that reads the file.
A mapping is a dict of column names ("" or absent: no such column):

    {"style": "pairs", "prompt": "question", "answer": "reply", "context": "", ...}
    {"style": "messages", "messages": "messages", ...}

and for both styles
    "system"      instructions that go before the conversation
    "split"       train, validation or test; ALL_FOR_TEST instead of a column: every row is for it
    "key"         identifies the row when a later file is merged
    "group"       what rows of one source share, so that they stay in one split
    "unanswered"  "keep": a row without an answer is imported to be labelled, and ends in an empty
                  message of the assistant; "": such a row is rejected
    "unread"      "take": a row with a key that changes its meaning and is not read (`tools`) is
                  taken without it; "": such a row is rejected
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from finetune_app.core.chat_messages import Message, is_learned
from finetune_app.imports.cell_values import (
    JSON_STARTS,
    RowError,
    cell_text,
    has_content,
    json_cell,
    parsed_cell,
)
from finetune_app.imports.schemas import KeyAndGroup

Cells = Mapping[str, Any]

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
}
TOOL_ROLES = ("tool", "function", "function_call", "observation", "ipython")
ROLE_FIELDS = ("role", "from", "speaker", "author")
CONTENT_FIELDS = ("content", "value", "text", "parts")
PLAIN_KEYS = {"role", "content", "weight"}  # of nearly every message; all are read
WEIGHTS = {"0": 0, "0.0": 0, "1": 1, "1.0": 1}  # OpenAI's, by how they may be written
SPLIT_BY_WORD = {
    "train": "train",
    "training": "train",
    "learn": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "practice": "validation",
    "eval": "validation",
    "test": "test",
    "testing": "test",
    "holdout": "test",
    "held-out": "test",
}
KEEP_UNANSWERED = "keep"
TAKE_WITHOUT = "take"
REJECTED_ANSWER_NAMES = ("rejected", "rejected_response", "non_preferred_output", "dispreferred")
# Keys without which a row means something else. They are not read yet.
MEANING_NAMES = {*REJECTED_ANSWER_NAMES, "tools", "functions", "tool_calls", "function_call"}
CONVERSATION_PARTS = ("messages", "prompt", "answer")  # of a mapping
COLUMN_PARTS = ("messages", "prompt", "answer", "context", "system", "split", "key", "group")
ALL_FOR_TEST = "*test"
MAX_MESSAGES = 1_000
MAX_KEY_LENGTH, MAX_GROUP_LENGTH = 200, 64  # as in the database


class UnreadKeyError(RowError):
    """The row has a key that changes its meaning and is not read, and nobody has decided to take
    such rows without it."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"It has “{key[:40]}”, which is not read here yet, and without it the row means "
            "something else."
        )


def messages_from_row(cells: Cells, mapping: Mapping[str, str]) -> list[Message]:
    """The row's messages, the last one the assistant's. Raises RowError.

    An UnreadKeyError is for a row that could be taken without a key (see "unread"). The last text
    is empty only where the mapping keeps rows without an answer.
    """
    keep = mapping.get("unanswered") == KEEP_UNANSWERED
    cells = _with_parsed_conversations(cells, mapping)
    if mapping.get("unread") != TAKE_WITHOUT:
        _refuse_unread_keys(cells, mapping)
    system = _system_text(cells.get(mapping["system"])) if mapping.get("system") else ""
    if mapping.get("style") == "messages":
        messages = _from_messages(cells.get(mapping["messages"]), keep)
        if system.strip() and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": system})
        return messages
    return _from_pair(cells, mapping, system, keep)


def _refuse_unread_keys(cells: Cells, mapping: Mapping[str, str]) -> None:
    """Raises UnreadKeyError."""
    for name in filter(changes_meaning, cells):
        if name not in used_columns(mapping) and has_content(cells[name]):
            raise UnreadKeyError(name)
    for part in CONVERSATION_PARTS:
        value = cells.get(mapping.get(part, ""))
        chat = conversation_in_cell(value) or ()
        for around in (value, *chat) if isinstance(value, Mapping) else chat:
            if not isinstance(around, Mapping) or around.keys() <= PLAIN_KEYS:
                continue
            for name in filter(changes_meaning, around):
                if has_content(around[name]):
                    raise UnreadKeyError(name)


def _with_parsed_conversations(cells: Cells, mapping: Mapping[str, str]) -> Cells:
    """The cells, those with a conversation as JSON text parsed once."""
    parsed = {}
    for part in CONVERSATION_PARTS:
        value = cells.get(mapping.get(part, ""))
        if isinstance(value, str) and may_be_conversation(value):
            found = parsed_cell(value)
            if conversation_in_cell(found):
                parsed[mapping[part]] = found
    return {**cells, **parsed} if parsed else cells


@lru_cache(maxsize=10_000)
def changes_meaning(name: str) -> bool:
    return normalised_name(name) in MEANING_NAMES


def used_columns(mapping: Mapping[str, str]) -> set[str]:
    """The columns that become a part of the example."""
    used = {mapping.get(part, "") for part in COLUMN_PARTS}
    return used | {"history"} if mapping.get("style") == "pairs" else used


def split_of_row(cells: Cells, mapping: Mapping[str, str]) -> str:
    """train, validation, test, or "" when the row names no split."""
    column = mapping.get("split", "")
    if column == ALL_FOR_TEST and column not in cells:
        return "test"
    return SPLIT_BY_WORD.get(normalised_name(cell_text(cells.get(column))), "") if column else ""


def key_and_group_of_row(cells: Cells, mapping: Mapping[str, str]) -> KeyAndGroup:
    """The row's key and group, each only where the mapping has a column for it."""
    found: KeyAndGroup = {}
    if mapping.get("key"):
        found["key"] = _shortened(cell_text(cells.get(mapping["key"])), MAX_KEY_LENGTH)
    if mapping.get("group"):
        found["group"] = _shortened(cell_text(cells.get(mapping["group"])), MAX_GROUP_LENGTH)
    return found


def _shortened(text: str, max_length: int) -> str:
    """The text, at most `max_length` long; a hash keeps long texts with the same start distinct."""
    text = text.strip()
    if len(text) <= max_length:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
    return f"{text[: max_length - 17]}…{digest}"


def normalised_name(name: str) -> str:
    return " ".join(name.strip().strip('"').lower().split())


# ---- Two columns ----


def _from_pair(cells: Cells, mapping: Mapping[str, str], system: str, keep: bool) -> list[Message]:
    asked, answered = cells.get(mapping["prompt"]), cells.get(mapping.get("answer", ""))
    is_plain = _is_plain_text(asked) and _is_plain_text(answered) and "history" not in cells
    if is_plain and not mapping.get("context"):  # nearly every row: a fast path
        return _with_system(system, _pair(asked, answered))
    chat = conversation_in_cell(asked)
    if chat:  # a preference pair: the conversation so far, and the answer
        before = _messages(chat)
        return _with_system(system, _with_answer(before, _answer_text(answered, before), keep))
    prompt = cell_text(asked)
    answer = _answer_text(answered, [{"role": "user", "content": prompt}])
    context = cell_text(cells.get(mapping["context"])) if mapping.get("context") else ""
    if context.strip():
        prompt = f"{prompt}\n\n{context}" if prompt.strip() else context
    if not prompt.strip() and not answer.strip():
        names = f"“{mapping['prompt']}” and “{mapping.get('answer')}” are both"
        raise RowError(f"{names if mapping.get('answer') else 'The row is'} empty.")
    if not prompt.strip():
        raise RowError(f"“{mapping['prompt']}” is empty, so nothing is asked.")
    question: Message = {"role": "user", "content": prompt}
    if not answer.strip() and not keep:
        raise RowError(f"“{mapping.get('answer')}” is empty, so there is nothing to learn.")
    messages = [*_history_messages(cells.get("history")), question]
    return _with_system(system, _with_answer(messages, answer, keep))


def _pair(asked: Any, answered: Any) -> list[Message]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]


def _is_plain_text(value: Any) -> bool:
    """Whether this is text that is neither blank nor JSON."""
    return type(value) is str and value[:1] not in JSON_STARTS


def _with_system(system: str, messages: list[Message]) -> list[Message]:
    if not system.strip() or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system}, *messages]


def _with_answer(messages: list[Message], answer: str, keep: bool) -> list[Message]:
    if not answer.strip() and not keep:
        raise RowError("There is no answer, so there is nothing to learn.")
    text = answer if answer.strip() else ""
    return [*messages, {"role": "assistant", "content": text}]


def _answer_text(value: Any, before: list[Message]) -> str:
    """An answer as text, also when it is a list of messages: the answer alone, or after `before`.

    Raises RowError when there are others, which would be lost.
    """
    chat = conversation_in_cell(value)
    if not chat:
        return cell_text(value)
    messages = _messages(chat)
    _require_learned(messages)
    if messages[:-1] not in ([], before):
        raise RowError(f"The answer has {len(messages)} messages, and only one can be learned.")
    return messages[-1]["content"]


def _history_messages(value: Any) -> list[Message]:
    """Earlier turns, which Alpaca's format has in "history" as a list of [prompt, answer]."""
    value = json_cell(value, "[") or value
    if (
        not value
        or not isinstance(value, list)
        or not all(
            isinstance(turn, list) and len(turn) == 2 and all(isinstance(t, str) for t in turn)
            for turn in value
        )
    ):
        return []
    return [
        {"role": role, "content": str(text)}
        for turn in value
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]


# ---- Whole conversations ----


def _from_messages(value: Any, keep: bool) -> list[Message]:
    found = conversation_in_cell(value)
    if not found:
        raise RowError("There is no conversation in this row.")
    messages = _messages(found)
    roles = [message["role"] for message in messages]
    if keep and "user" in roles:
        if roles[-1] == "user":
            return [*messages, {"role": "assistant", "content": ""}]
        if roles[-1] == "assistant" and not messages[-1]["content"].strip():
            return [*messages[:-1], {"role": "assistant", "content": ""}]
    if "assistant" not in roles:
        raise RowError("The assistant says nothing here, so there is nothing to learn.")
    if roles[-1] != "assistant":
        raise RowError("The conversation does not end in an answer.")
    if not messages[-1]["content"].strip():
        raise RowError("The last answer is empty, so there is nothing to learn.")
    if "user" not in roles:
        raise RowError("Nobody asks anything in this conversation.")
    _require_learned(messages)
    return messages


def _require_learned(messages: list[Message]) -> None:
    """Raises RowError for the weight 0 on the last answer, which evaluations compare with."""
    if messages[-1].get("weight") != 0:
        return
    if not any(is_learned(message) for message in messages):
        raise RowError("Every answer has the weight 0, so there is nothing to learn.")
    raise RowError(
        "The last answer has the weight 0, but it is the one to learn and to be tested on. "
        "End the row with an answer to learn."
    )


def _messages(found: list[Any]) -> list[Message]:
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
        raise RowError(f"Message {number} uses a tool, which cannot be learned here yet.")
    if role is None:
        who = role_name.strip()[:40]
        raise RowError(f"We don't know who “{who}” is in message {number}: you, or the assistant?")
    if content is None and (item.get("tool_calls") or item.get("function_call")):
        raise RowError(f"Message {number} only calls a tool, so it has no text to learn.")
    if content is None:
        raise RowError(f"Message {number} has no text.")
    message: Message = {"role": role, "content": _content_text(content)}
    if _has_weight_zero(item.get("weight"), role, number):
        message["weight"] = 0
    return message


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


def _system_text(value: Any) -> str:
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
