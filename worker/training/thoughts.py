"""Sentences about the thoughts in the rows: which are learned, and which are not."""

from collections.abc import Sequence

from finetune_app.core.chat_messages import Message

NO_THOUGHTS = (
    "No row has a thought before its answer. The answers are learned, and how to think towards "
    "them is not."
)


def thought_warnings(conversations: Sequence[Sequence[Message]], thinks: bool) -> list[str]:
    """Sentences about thoughts that are not learned, and about rows without one."""
    rows = len(conversations)
    with_thought = sum("reasoning_content" in messages[-1] for messages in conversations)
    if with_thought and not thinks:
        sentence = (
            f"{with_thought} of {rows} rows have a thought before the answer. It is not "
            "learned, because the model answers at once: its thinking is set to No in step 3."
        )
        return [sentence]
    if thinks and not with_thought:
        return [NO_THOUGHTS]
    if thinks and with_thought < rows:
        without = rows - with_thought
        return [f"{without} of {rows} rows have no thought: only their answers are learned."]
    return []
