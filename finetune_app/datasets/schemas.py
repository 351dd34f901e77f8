"""Types of the data that other apps hand over. Pure Python."""

from typing import NotRequired, TypedDict

from finetune_app.core.chat_messages import Message, Tool


class RowToAdd(TypedDict):
    """A conversation to add. Without a `split` one is assigned (splits.py)."""

    messages: list[Message]
    rejected: NotRequired[str]  # a worse answer than the last one
    tools: NotRequired[list[Tool]]
    parallel_tool_calls: NotRequired[bool]
    split: NotRequired[str]
    key: NotRequired[str]  # of the row in its file, for merging
    group: NotRequired[str]  # rows of one group stay in one split
