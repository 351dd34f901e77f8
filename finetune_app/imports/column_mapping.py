"""Turns a row of a file into a conversation, by the column mapping that a person confirmed.

Pure Python, shared by the pages (the three samples) and by the child that reads the file.
A mapping is a dict of column names ("" or absent: no such column):

    {"style": "pairs", "prompt": "question", "answer": "reply", "context": "", ...}
    {"style": "messages", "messages": "messages", ...}

and for both styles
    "thought"     what a thinking model writes before the answer
    "rejected"    a worse answer to the same, which makes the row a training pair
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
from typing import Any, NamedTuple

from finetune_app.core.chat_messages import Message
from finetune_app.core.tool_calls import answer_text
from finetune_app.imports.cell_values import (
    JSON_STARTS,
    RowError,
    cell_text,
    has_content,
    json_cell,
    parsed_cell,
)
from finetune_app.imports.conversation_cells import (
    PLAIN_KEYS,
    conversation_in_cell,
    may_be_conversation,
    normalised_name,
    read_messages,
    require_learned,
    require_question,
    system_text,
    whole_conversation,
)
from finetune_app.imports.schemas import KeyAndGroup, RowContent
from finetune_app.imports.thoughts import column_thought, with_own_thought
from finetune_app.imports.tool_calls import ROW_KEYS, require_matching, row_tools
from finetune_app.imports.training_pairs import WORSE_ANSWER_NAMES, worse_answer
from finetune_app.imports.transcripts import transcript

Cells = Mapping[str, Any]

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
# Keys without which a row means something else, where they are not read.
MEANING_NAMES = {*WORSE_ANSWER_NAMES, "tools", "functions", "tool_calls", "function_call"}
CONVERSATION_PARTS = ("messages", "prompt", "answer", "rejected")  # of a mapping
COLUMN_PARTS = (*CONVERSATION_PARTS, "context", "thought", "system", "split", "key", "group")
ALL_FOR_TEST = "*test"
MAX_KEY_LENGTH, MAX_GROUP_LENGTH = 200, 64  # as in the database


READ_INSIDE = {*ROW_KEYS, "tool_calls"}  # of those, the ones that a conversation is read with


class UnreadKeyError(RowError):
    """The row has a key that changes its meaning and is not read, and nobody has decided to take
    such rows without it."""

    def __init__(self, key: str) -> None:
        why = "which is not read here yet"
        if is_worse_answer(key):
            why = "which is not read as a worse answer"
        super().__init__(
            f"It has “{key[:40]}”, {why}, and without it the row means something else."
        )


class RowExample(NamedTuple):
    messages: list[Message]  # the last one is the assistant's
    rejected: str  # a worse answer; "" for none


def content_from_row(cells: Cells, mapping: Mapping[str, str]) -> RowContent:
    """All of the row, its calls checked against its tools. Raises as `example_from_row`."""
    cells = _with_parsed_conversations(cells, mapping)
    messages, rejected = example_from_row(cells, mapping)
    tools = row_tools(cells, cells.get(mapping.get("messages") or mapping.get("prompt", "")))
    require_matching(messages, tools)
    return {"messages": messages, "rejected": rejected, **tools}


def example_from_row(cells: Cells, mapping: Mapping[str, str]) -> RowExample:
    """The row's conversation, and its worse answer. Raises RowError.

    An UnreadKeyError is for a row that could be taken without a key (see "unread"). The last text
    is empty only where the mapping keeps rows without an answer.
    """
    keep = mapping.get("unanswered") == KEEP_UNANSWERED
    cells = _with_parsed_conversations(cells, mapping)
    if mapping.get("unread") != TAKE_WITHOUT:
        _refuse_unread_keys(cells, mapping)
    system = system_text(cells.get(mapping["system"])) if mapping.get("system") else ""
    if mapping.get("style") == "messages":
        messages = whole_conversation(cells.get(mapping["messages"]), keep)
    else:
        messages = _from_pair(cells, mapping, keep)
    messages = _with_thought(cells, mapping, messages)
    messages = _with_system(system, messages, mapping)
    column = mapping.get("rejected", "")
    if not column:
        return RowExample(messages, "")
    return RowExample(messages, _worse_answer(cells, mapping, column, messages))


def _with_thought(
    cells: Cells, mapping: Mapping[str, str], messages: list[Message]
) -> list[Message]:
    """With the thought that the row has in a column of its own, before the last answer."""
    column = mapping.get("thought", "")
    thought = column_thought(cells.get(column), column) if column else ""
    if not thought:
        return messages
    return [*messages[:-1], with_own_thought(messages[-1], thought, "The answer")]


def _worse_answer(
    cells: Cells, mapping: Mapping[str, str], column: str, messages: list[Message]
) -> str:
    *before, answer = messages
    beginnings = [before]
    if mapping.get("system") and before[0]["role"] == "system":
        beginnings.append(before[1:])  # of a column of their own
    if mapping.get("style") == "pairs" and isinstance(asked := cells.get(mapping["prompt"]), str):
        beginnings.append([{"role": "user", "content": asked}])
    return worse_answer(
        cells.get(column),
        column,
        answer_text(answer),
        beginnings,
        is_transcript=transcript(cells.get(mapping.get("messages", ""))) is not None,
    )


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
                if name not in READ_INSIDE and has_content(around[name]):
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


def is_worse_answer(name: str) -> bool:
    """Whether a key is called as worse answers are, which are read from the column chosen."""
    return normalised_name(name) in WORSE_ANSWER_NAMES


def used_columns(mapping: Mapping[str, str]) -> set[str]:
    """The columns that become a part of the example."""
    used = {mapping.get(part, "") for part in COLUMN_PARTS} | set(ROW_KEYS)
    return used | {"history"} if mapping.get("style") == "pairs" else used


def split_of_row(cells: Cells, mapping: Mapping[str, str]) -> str:
    """train, validation, test, or "" when the row names no split."""
    column = mapping.get("split", "")
    if column == ALL_FOR_TEST and column not in cells:
        return "test"
    return split_of_word(cell_text(cells.get(column))) if column else ""


def split_of_word(word: str) -> str:
    """train, validation, test, or "" for a word that means none of them."""
    return SPLIT_BY_WORD.get(normalised_name(word), "")


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


# ---- Two columns ----


def _from_pair(cells: Cells, mapping: Mapping[str, str], keep: bool) -> list[Message]:
    asked, answered = cells.get(mapping["prompt"]), cells.get(mapping.get("answer", ""))
    is_plain = _is_plain_text(asked) and _is_plain_text(answered) and "history" not in cells
    if is_plain and not mapping.get("context"):  # nearly every row: a fast path
        found = _pair(asked, answered)
        if found[1]["content"].strip():
            return found
    history = _history_messages(cells.get("history"))
    context = cell_text(cells.get(mapping["context"])) if mapping.get("context") else ""
    chat = conversation_in_cell(asked)
    if chat:  # a preference pair: the conversation so far, and the answer
        before = read_messages(chat)
        require_question(before)
        if before[-1]["role"] == "assistant":
            raise RowError(
                f"“{mapping['prompt']}” ends in an answer already. Leave it out, or choose the "
                "column as a whole conversation."
            )
        if history or context.strip():
            column = mapping["context"] if context.strip() else "history"
            raise RowError(
                f"“{mapping['prompt']}” is a whole conversation, and “{column}” has more text. "
                "Put it into the conversation, or leave it out."
            )
        return _with_answer(before, _answer(answered, before), keep)
    prompt = cell_text(asked)
    answer = _answer(answered, [{"role": "user", "content": prompt}])
    is_empty = not answer["content"].strip()
    if context.strip():
        prompt = f"{prompt}\n\n{context}" if prompt.strip() else context
    if not prompt.strip() and is_empty:
        names = f"“{mapping['prompt']}” and “{mapping.get('answer')}” are both"
        raise RowError(f"{names if mapping.get('answer') else 'The row is'} empty.")
    if not prompt.strip():
        raise RowError(f"“{mapping['prompt']}” is empty, so nothing is asked.")
    question: Message = {"role": "user", "content": prompt}
    if is_empty and not keep:
        raise RowError(f"“{mapping.get('answer')}” is empty, so there is nothing to learn.")
    return _with_answer([*history, question], answer, keep)


def _pair(asked: Any, answered: Any) -> list[Message]:
    return [{"role": "user", "content": asked}, _assistant(answered)]


def _assistant(text: str) -> Message:
    return with_own_thought({"role": "assistant", "content": text}, "", "The answer")


def _is_plain_text(value: Any) -> bool:
    """Whether this is text that is neither blank nor JSON."""
    return type(value) is str and value[:1] not in JSON_STARTS and not value.isspace()


def _with_system(system: str, messages: list[Message], mapping: Mapping[str, str]) -> list[Message]:
    """With these instructions at the beginning. Raises RowError where there are others."""
    if not system.strip():
        return messages
    if messages[0]["role"] != "system":
        return [{"role": "system", "content": system}, *messages]
    if messages[0]["content"].strip() != system.strip():
        raise RowError(
            f"The conversation has instructions of its own, and “{mapping['system']}” has others. "
            "Leave one of them out."
        )
    return messages


def _with_answer(messages: list[Message], answer: Message, keep: bool) -> list[Message]:
    if answer["content"].strip():
        return [*messages, answer]
    if not keep:
        raise RowError("There is no answer, so there is nothing to learn.")
    return [*messages, {"role": "assistant", "content": ""}]


def _answer(value: Any, before: list[Message]) -> Message:
    """An answer, as text or as a list of messages: the answer alone, or after `before`.

    Raises RowError when there are others, which would be lost.
    """
    chat = conversation_in_cell(value)
    if not chat:
        return _assistant(cell_text(value))
    messages = read_messages(chat)
    require_learned(messages)
    if messages[:-1] not in ([], before):
        raise RowError(f"The answer has {len(messages)} messages, and only one can be learned.")
    if "tool_calls" in messages[-1]:
        raise RowError("The answer calls a tool. Put the whole conversation into one column.")
    last = messages[-1]
    return last if last["role"] == "assistant" else _assistant(last["content"])


def _history_messages(value: Any) -> list[Message]:
    """Earlier turns, which Alpaca's format has in "history" as a list of [prompt, answer].

    Raises RowError for anything else.
    """
    if not has_content(value):
        return []
    value = json_cell(value, "[") or value
    if not isinstance(value, list) or not all(
        isinstance(turn, list) and len(turn) == 2 and all(isinstance(t, str) for t in turn)
        for turn in value
    ):
        raise RowError(
            "“history” is not a list of earlier turns, each a question with its answer. Correct "
            "it, or give the column another name."
        )
    return [message for asked, answered in value for message in _pair(str(asked), str(answered))]
