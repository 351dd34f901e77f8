"""From a row of a file to a conversation, by the columns that a person confirmed.

Pure Python, shared by the pages (the three samples) and by the child that reads the file.
A mapping is a dict with the names of columns ("" or absent: there is none):

    {"style": "pairs", "prompt": "question", "answer": "reply", "context": "", ...}
    {"style": "messages", "messages": "messages", ...}

and for both styles
    "system"      instructions that go before the conversation
    "split"       train, validation or test
    "key"         the row's own name, by which a later file is merged
    "group"       what rows of one source share, so that they stay in one split
    "unanswered"  "keep": a row without an answer comes in to be labelled, its last message an
                  empty one of the assistant; "": such a row is listed as left out

A cell is text as it stood in the file, or (from JSON) a list or dict whose numbers are
`ExactNumber`, which keeps the digits as they were written.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from finetune_app.core.chat_messages import Message
from finetune_app.imports.schemas import RowNames

Cells = Mapping[str, Any]

ROLE_BY_SPEAKER = {
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
TOOL_SPEAKERS = ("tool", "function", "function_call", "observation", "ipython")
ROLE_FIELDS = ("role", "from", "speaker", "author")
CONTENT_FIELDS = ("content", "value", "text", "parts")
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
JSON_STARTS = ("", "[", "{", " ", "\t", "\r", "\n", "\ufeff")  # its start
MAX_DEPTH = 40
MAX_MESSAGES = 1_000
MAX_KEY_LENGTH, MAX_GROUP_LENGTH = 200, 64  # as the database keeps them


class RowError(ValueError):
    """This row cannot become an example. The message says why, in plain words."""


class ExactNumber(str):
    """A JSON number, kept exactly as it was written (1.10 stays 1.10)."""


def messages_from_row(cells: Cells, mapping: Mapping[str, str]) -> list[Message]:
    """The row's messages, the last one the assistant's. Raises RowError.

    Its text is empty only where the mapping keeps rows without an answer.
    """
    keep = mapping.get("unanswered") == KEEP_UNANSWERED
    system = _instructions(cells.get(mapping["system"])) if mapping.get("system") else ""
    if mapping.get("style") == "messages":
        messages = _from_messages(cells.get(mapping["messages"]), keep)
        if system.strip() and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": system})
        return messages
    return _from_pair(cells, mapping, system, keep)


def split_of_row(cells: Cells, mapping: Mapping[str, str]) -> str:
    """train, validation, test, or "" where the row does not say."""
    column = mapping.get("split", "")
    return SPLIT_BY_WORD.get(normalised_name(cell_text(cells.get(column))), "") if column else ""


def names_of_row(cells: Cells, mapping: Mapping[str, str]) -> RowNames:
    """The row's key and group, as far as the mapping names their columns."""
    names: RowNames = {}
    if mapping.get("key"):
        names["key"] = _shortened(cell_text(cells.get(mapping["key"])), MAX_KEY_LENGTH)
    if mapping.get("group"):
        names["group"] = _shortened(cell_text(cells.get(mapping["group"])), MAX_GROUP_LENGTH)
    return names


def _shortened(text: str, max_length: int) -> str:
    """A name that fits. Long names that differ only at the end stay different by a hash."""
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
    plainly = _plain_text(asked) and _plain_text(answered) and "history" not in cells
    if plainly and not mapping.get("context"):  # nearly every row, so without further questions
        return _with_system(system, _pair(asked, answered))
    chat = conversation_in_cell(asked)
    if chat:  # a preference file: the conversation so far, and what is answered to it
        return _with_system(system, _ended(_messages(chat), _spoken(answered), keep))
    prompt, answer = cell_text(asked), _spoken(answered)
    context = cell_text(cells.get(mapping["context"])) if mapping.get("context") else ""
    if context.strip():
        prompt = f"{prompt}\n\n{context}" if prompt.strip() else context
    if not prompt.strip() and not answer.strip():
        names = f"“{mapping['prompt']}” and “{mapping.get('answer')}” are both"
        raise RowError(f"{names if mapping.get('answer') else 'The row is'} empty.")
    if not prompt.strip():
        raise RowError(f"“{mapping['prompt']}” is empty, so nothing is asked.")
    asks: list[Message] = [*_earlier(cells.get("history")), {"role": "user", "content": prompt}]
    if not answer.strip() and not keep:
        raise RowError(f"“{mapping.get('answer')}” is empty, so there is nothing to learn.")
    return _with_system(system, _ended(asks, answer, keep))


def _pair(asked: Any, answered: Any) -> list[Message]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]


def _plain_text(value: Any) -> bool:
    """Text that says something and cannot be anything else."""
    return type(value) is str and value[:1] not in JSON_STARTS


def _with_system(system: str, messages: list[Message]) -> list[Message]:
    if not system.strip() or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system}, *messages]


def _ended(messages: list[Message], answer: str, keep: bool) -> list[Message]:
    if not answer.strip() and not keep:
        raise RowError("There is no answer, so there is nothing to learn.")
    text = answer if answer.strip() else ""
    return [*messages, {"role": "assistant", "content": text}]


def _spoken(value: Any) -> str:
    """An answer as text, also where it is a list of one message."""
    chat = conversation_in_cell(value)
    return _messages(chat)[-1]["content"] if chat else cell_text(value)


def _earlier(value: Any) -> list[Message]:
    """Alpaca's files keep earlier turns in "history", as a list of [asked, answered]."""
    value = _json_cell(value, "[") or value
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
    return messages


def _messages(found: list[Any]) -> list[Message]:
    if len(found) > MAX_MESSAGES:
        most = f"{MAX_MESSAGES:,}"
        raise RowError(f"The conversation has {len(found):,} messages; the most is {most}.")
    return [_message(item, place) for place, item in enumerate(found, 1)]


def _message(item: Any, place: int) -> Message:
    if not isinstance(item, Mapping):
        raise RowError(f"Message {place} has no speaker.")
    speaker = next((item[name] for name in ROLE_FIELDS if name in item), None)
    content = next((item[name] for name in CONTENT_FIELDS if name in item), None)
    if not isinstance(speaker, str) or not speaker.strip():
        raise RowError(f"Message {place} has no speaker.")
    role = ROLE_BY_SPEAKER.get(normalised_name(speaker))
    if (
        normalised_name(speaker) in TOOL_SPEAKERS
        or item.get("tool_calls")
        or item.get("function_call")
    ):
        raise RowError(f"Message {place} uses a tool, which cannot be learned here yet.")
    if role is None:
        who = speaker.strip()[:40]
        raise RowError(f"We don't know who “{who}” is in message {place}: you, or the assistant?")
    if content is None:
        raise RowError(f"Message {place} has no text.")
    return {"role": role, "content": _parts(content)}


def _parts(content: Any) -> str:
    """Text, or a list of parts with text in them."""
    if isinstance(content, list) and content and all(isinstance(p, Mapping) for p in content):
        texts = [part.get("text") for part in content]
        if not all(isinstance(text, str) for text in texts):
            raise RowError("A message holds something other than text, such as an image.")
        return "\n".join(texts)
    return cell_text(content)


def _instructions(value: Any) -> str:
    """Instructions as text, or as Vertex writes them: {"role", "parts": [{"text"}]}."""
    found = _json_cell(value, "{") or value
    if isinstance(found, Mapping) and found.keys() <= {"role", *CONTENT_FIELDS}:
        said = next((found[name] for name in CONTENT_FIELDS if name in found), None)
        return _parts(said) if said is not None else cell_text(value)
    return cell_text(value)


def conversation_in_cell(value: Any) -> list[Any] | None:
    """A conversation, also when a cell holds it as JSON; None when it is none."""
    if isinstance(value, str):
        value = _json_cell(value, "[{")
    if isinstance(value, Mapping):
        value = value.get("messages")
    if not isinstance(value, list):
        return None
    speaks = any(isinstance(v, Mapping) and v.keys() & set(ROLE_FIELDS) for v in value)
    return value if speaks or not value else None


def _json_cell(value: Any, starts: str) -> Any:
    """What a cell of text holds as JSON that begins with one of `starts`; else None."""
    if not isinstance(value, str) or value[:1] not in JSON_STARTS:
        return None
    if not (start := value.lstrip()[:1]) or start not in starts:
        return None
    try:
        return parse_json(value)
    except (ValueError, RecursionError):
        return None


# ---- Text, exactly ----

EXACT_DECODER = json.JSONDecoder(
    parse_int=ExactNumber, parse_float=ExactNumber, parse_constant=ExactNumber
)


def parse_json(text: str) -> Any:
    """json.loads that keeps every number, NaN included, as it was written."""
    return EXACT_DECODER.decode(text)


def cell_text(value: Any) -> str:
    """A cell as text: text as it is, null as nothing, the rest as JSON. Raises RowError."""
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else _json_of(value, 0)


def _json_of(value: Any, depth: int) -> str:
    if depth > MAX_DEPTH:
        raise RowError(f"A value is nested more than {MAX_DEPTH} levels deep.")
    if isinstance(value, ExactNumber):
        return str(value)
    if isinstance(value, Mapping):
        inner = (
            f"{json.dumps(str(k), ensure_ascii=False)}: {_json_of(v, depth + 1)}"
            for k, v in value.items()
        )
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_json_of(v, depth + 1) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)
