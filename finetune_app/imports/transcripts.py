"""Reads conversations written as one text, where a name and a colon begin each turn. Pure Python.

So are the pairs of Anthropic's HH-RLHF: "\\n\\nHuman: Hello\\n\\nAssistant: Hi".
"""

import re
from typing import Any

ROLE_BY_MARKER = {
    "Human": "user",
    "User": "user",
    "Assistant": "assistant",
    "System": "system",
}
MARKERS = "|".join(ROLE_BY_MARKER)
# A blank line and no more before a name: blank lines in any number would take quadratic time.
TURN = re.compile(rf"(?:\A\s*|\n[^\S\n]*\n)(?P<name>{MARKERS}):[ \t]*")


def transcript(value: Any) -> list[dict[str, str]] | None:
    """The messages of a text that begins with a marker and has an answer; else None."""
    if not isinstance(value, str):
        return None
    first = TURN.match(value)
    if not first or first.start() or not value[: first.end()].strip():
        return None
    _before, *parts = TURN.split(value)
    messages = [
        {"role": ROLE_BY_MARKER[name], "content": text.strip()}
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    ]
    return messages if any(one["role"] == "assistant" for one in messages) else None
