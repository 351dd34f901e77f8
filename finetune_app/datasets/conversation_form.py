"""Converts a conversation to form fields, one per message, and back.

The fields are named message-0, message-1, ... in the order of the saved conversation, and added
turns continue the numbers. New instructions have the name “instructions”. A turn whose two fields
are empty is removed. Whether an earlier answer is learned is weight-1, weight-3, ...; the last one
always is. Calls of tools are shown, and only their texts can be edited here. The thought before an
answer is thought-1, thought-3, ...; an emptied one is removed.
"""

from collections.abc import Mapping
from typing import TypedDict, cast

from django.utils.translation import gettext as _

from finetune_app.core.chat_messages import Message, is_learned, without_weights
from finetune_app.core.errors import PlainError
from finetune_app.core.tool_calls import answer_text, has_answer
from finetune_app.datasets.text import newlines

# What can be added.
TURN, INSTRUCTIONS, REJECTED, THOUGHT = "turn", "instructions", "rejected", "thought"


class ThoughtField(TypedDict):
    """A text field for the thought before an answer, closed unless it was just added."""

    name: str
    text: str
    theirs: str  # the saved text
    rows: int
    new: bool


class MessageField(TypedDict):
    """A text field for one message."""

    name: str
    label: str
    text: str
    theirs: str  # the saved text
    last: bool  # whether it is the reference answer
    weight: str  # name of the field that says whether an earlier answer is learned; else ""
    learned: bool
    new: bool  # whether the message was just added
    rows: int  # height in lines
    calls: str  # its calls of tools, as JSON; they cannot be edited
    thought: ThoughtField | None


def message_fields(
    turns: list[Message], saved: list[Message], *, is_pair: bool = False
) -> list[MessageField]:
    """One field per message; of a pair the last one is the better answer."""
    answer = _("Better answer") if is_pair else _("Answer you want")
    new = int(has_instructions(turns) and not has_instructions(saved))
    users = sum(message["role"] == "user" for message in turns)
    found: list[MessageField] = []
    for place, message in enumerate(turns, -new):
        before = saved[place] if 0 <= place < len(saved) else None
        last = place == len(turns) - 1 - new
        found.append(
            {
                "name": f"message-{place}" if place >= 0 else INSTRUCTIONS,
                "label": answer if last else _speaker(message["role"], users > 1),
                "text": message["content"],
                "theirs": before["content"] if before else "",
                "last": last,
                "weight": f"weight-{place}" if message["role"] == "assistant" and not last else "",
                "learned": is_learned(message),
                "new": not message["content"] and before is None,
                "rows": _height(message["content"]),
                "calls": answer_text(message) if "tool_calls" in message else "",
                "thought": _thought_field(message, before, place),
            }
        )
    return found


def _thought_field(message: Message, before: Message | None, place: int) -> ThoughtField | None:
    if "reasoning_content" not in message:
        return None
    text = message["reasoning_content"]
    return {
        "name": f"thought-{place}",
        "text": text,
        "theirs": before.get("reasoning_content", "") if before else "",
        "rows": _height(text),
        "new": not text,
    }


def rejected_field(text: str, saved: str) -> MessageField:
    """The field for the worse answer."""
    return {
        "name": REJECTED,
        "label": _("Worse answer"),
        "text": text,
        "theirs": saved,
        "last": True,
        "weight": "",
        "learned": False,
        "new": not text and not saved,
        "rows": _height(text),
        "calls": "",
        "thought": None,
    }


def rejected_from_post(post: Mapping[str, str], saved: str) -> str:
    """The submitted worse answer; `saved` when none was submitted, or only its line ends differ."""
    return _submitted(post, REJECTED, saved)


def _height(text: str) -> int:
    return min(max(4, len(text) // 60 + text.count("\n") + 1), 18)


def _speaker(role: str, several: bool) -> str:
    if several:
        names = {"user": _("Person"), "assistant": _("Assistant"), "system": _("Instructions")}
    else:
        names = {"user": _("Prompt"), "assistant": _("Answer"), "system": _("Instructions")}
    names["tool"] = _("Result of the tool")
    return names.get(role, role)


def has_instructions(turns: list[Message]) -> bool:
    return bool(turns) and turns[0]["role"] == "system"


def from_post(post: Mapping[str, str], saved: list[Message]) -> list[Message]:
    """The conversation with the submitted texts; a field that was not submitted is unchanged.

    Browsers send line ends as CR LF. A text that differs only in its line ends is unchanged too.
    """
    turns: list[Message] = []
    for place, message in enumerate(saved):
        text = _submitted(post, f"message-{place}", message["content"])
        thought = _submitted_thought(post, place, message.get("reasoning_content"))
        weight = post.get(f"weight-{place}", str(message.get("weight", 1)))
        turns.append(_message(message, text, thought, weight))
    while f"message-{len(turns)}" in post or not turns or turns[-1]["role"] != "assistant":
        role = "assistant" if turns and turns[-1]["role"] == "user" else "user"
        text = _submitted(post, f"message-{len(turns)}", "")
        thought = _submitted_thought(post, len(turns), None)
        new: Message = {"role": role, "content": text}
        turns.append(_message(new, text, thought, post.get(f"weight-{len(turns)}", "1")))
    if INSTRUCTIONS in post and not has_instructions(turns):
        turns.insert(0, {"role": "system", "content": newlines(post[INSTRUCTIONS])})
    return turns


def _submitted(post: Mapping[str, str], name: str, saved: str) -> str:
    text = newlines(post.get(name, saved))
    return saved if text == newlines(saved) else text


def _submitted_thought(post: Mapping[str, str], place: int, saved: str | None) -> str | None:
    """None where there is no box for it; "" for an empty box, which is shown again."""
    name = f"thought-{place}"
    return saved if name not in post else _submitted(post, name, saved or "")


def _message(message: Message, text: str, thought: str | None, weight: str) -> Message:
    """The message with another text, thought and weight; its calls stay."""
    [changed] = without_weights([message])
    changed = {**changed, "content": text}
    if message["role"] == "assistant" and thought is not None:
        changed["reasoning_content"] = thought
    if message["role"] == "assistant" and weight == "0":
        changed["weight"] = 0
    return changed


def with_added(turns: list[Message], what: str) -> list[Message]:
    """The conversation with an empty turn at the end, empty instructions at the start, or an empty
    thought before the last answer."""
    if what == TURN:
        return [*turns, {"role": "user", "content": ""}, {"role": "assistant", "content": ""}]
    if what == INSTRUCTIONS and not has_instructions(turns):
        return [{"role": "system", "content": ""}, *turns]
    if what == THOUGHT and "reasoning_content" not in turns[-1]:
        return [*turns[:-1], {**turns[-1], "reasoning_content": ""}]
    return turns


def without_empty_turns(turns: list[Message], saved: list[Message]) -> list[Message]:
    """The conversation to save, without empty turns and thoughts.

    Raises PlainError if only one half of a turn is empty.
    """
    kept: list[Message] = []
    for message in map(_without_empty_thought, turns):
        pair = kept and kept[-1]["role"] == "user" and message["role"] == "assistant"
        if pair and _empty(kept[-1]) and _empty(message):
            kept.pop()
        elif not (_empty(message) and message["role"] == "system"):
            kept.append(message)
    if not any(message["role"] == "user" for message in kept):
        return turns  # the prompt is missing: saving reports that
    halves = [one for one in kept[:-1] if _empty(one) and one not in saved]
    if halves and any(not _empty(one) for one in kept if one["role"] == "user"):
        raise PlainError(
            _(
                "A turn is half empty. Write what is missing, or empty both of its boxes to "
                "remove it."
            )
        )
    *before, last = kept
    return [*before, *without_weights([last])]


def _without_empty_thought(message: Message) -> Message:
    thought = message.get("reasoning_content", "").strip()
    if thought:
        return {**message, "reasoning_content": thought}
    rest = dict(message)
    rest.pop("reasoning_content", None)
    return cast(Message, rest)


def _empty(message: Message) -> bool:
    return not has_answer(message)
