"""Reads the worse answer of a training pair, as TRL, data sets for it and OpenAI write it. Pure
Python.

The better answer is the example's own. The worse one has a column: as text, as a list with one
message, or as the whole conversation again with another end.
"""

from collections.abc import Sequence
from typing import Any

from finetune_app.core.chat_messages import Message, without_weights
from finetune_app.core.thinking import split_thought
from finetune_app.imports.cell_values import RowError, cell_text, has_content
from finetune_app.imports.conversation_cells import conversation_in_cell, read_messages
from finetune_app.imports.transcripts import transcript

BETTER_ANSWER_NAMES = (
    "chosen",
    "preferred_output",
    "chosen_response",
    "better_answer",
    "better answer",
)
WORSE_ANSWER_NAMES = (
    "rejected",
    "non_preferred_output",
    "rejected_response",
    "dispreferred",
    "worse_answer",
    "worse answer",
)


def worse_answer(
    value: Any,
    column: str,
    answer: str,
    beginnings: Sequence[list[Message]],
    *,
    is_transcript: bool,
) -> str:
    """The text of the worse answer, without a thought before it; "" when there is none.

    `beginnings` are what a whole conversation in the cell may begin with. Raises RowError when it
    begins otherwise, or when both answers are the same.
    """
    if not (value.strip() if isinstance(value, str) else has_content(value)):
        return ""
    chat = conversation_in_cell(value) or (transcript(value) if is_transcript else None)
    if is_transcript and not chat:
        raise RowError(f"“{column}” is no whole conversation, as the better answer is.")
    if chat:
        text = _end_of(read_messages(chat), column, beginnings)
    else:
        _thought, text = split_thought(cell_text(value))
    if not text.strip():
        raise RowError(f"“{column}” ends in an empty answer. Write it, or empty the cell.")
    if text.strip() == answer.strip():
        raise RowError(
            "The better and the worse answer are the same. Change one of them, or leave "
            f"“{column}” empty."
        )
    return text


def loses_thought(value: Any) -> bool:
    """Whether the worse answer in a cell has a thought, which is left out."""
    chat = conversation_in_cell(value) or transcript(value)
    if chat:
        return "reasoning_content" in read_messages(chat)[-1]
    return bool(split_thought(cell_text(value))[0].strip())


def _end_of(messages: list[Message], column: str, beginnings: Sequence[list[Message]]) -> str:
    *before, last = messages
    if last["role"] != "assistant":
        raise RowError(f"The conversation in “{column}” does not end in an answer.")
    if "tool_calls" in last:
        raise RowError(
            f"The answer in “{column}” calls a tool, and a worse answer is text here. Leave the "
            "call out."
        )
    if before and without_weights(before) not in [without_weights(one) for one in beginnings]:
        raise RowError(
            f"The conversation in “{column}” is another one before its last answer. Both answers "
            "have to follow the same conversation: correct it, or leave the row out."
        )
    return last["content"]
