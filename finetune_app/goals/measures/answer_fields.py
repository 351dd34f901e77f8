"""Parses an answer as fields, so that a page can show it as a list of terms."""

from __future__ import annotations

import json
import re

# "topic: return" is a field. "10:30" and "http://…" are not: a space follows the colon.
_LINE = re.compile(r"[ \t]*(?P<key>[^\W\d][\w-]*+(?: [\w-]++){0,2}):(?:[ \t]+(?P<value>.*))?")
_MAX_KEY_CHARACTERS = 40


def parse_fields(answer: str) -> list[tuple[str, str]] | None:
    """Return the (key, value) pairs of a flat JSON object or of "key: value" lines.

    None when the answer has any other form.
    """
    if len(answer) > 20_000:
        return None
    return _flat_json(answer) or parse_key_lines(answer)


def parse_key_lines(text: str) -> list[tuple[str, str]] | None:
    """Return the pairs when every line that is not blank reads "key: value", two lines at least."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return None
    pairs = []
    for line in lines:
        found = _LINE.fullmatch(line.rstrip())
        if not found or len(found["key"]) > _MAX_KEY_CHARACTERS:
            return None
        pairs.append((found["key"], (found["value"] or "").strip()))
    return pairs


def _flat_json(text: str) -> list[tuple[str, str]] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict) or any(isinstance(v, dict | list) for v in read.values()):
        return None
    return [
        (str(key), value if isinstance(value, str) else json.dumps(value))
        for key, value in read.items()
    ]
