"""Thinking models: how long they may think, and how a thought is written before an answer."""

NO, SHORT, YES = "no", "short", "yes"
# Most tokens of a thought. A model that was not taught otherwise thinks for hundreds or thousands.
THOUGHT_TOKENS = {NO: 0, SHORT: 256, YES: 2_048}

THOUGHT_START, THOUGHT_END = "<think>", "</think>"


def with_thought(answer: str, thought: str) -> str:
    """The answer behind its thought, as a model writes it."""
    return f"{THOUGHT_START}\n{thought.strip()}\n{THOUGHT_END}\n\n{answer}"


def split_thought(text: str) -> tuple[str, str]:
    """(thought, answer) of a text that begins with <think>, after white space; else ("", text).

    A thought without an end leaves no answer.
    """
    started = text.lstrip()
    if not started.startswith(THOUGHT_START):
        return "", text
    thought, _end, answer = started.removeprefix(THOUGHT_START).partition(THOUGHT_END)
    return thought.strip("\r\n"), answer.strip("\r\n")
