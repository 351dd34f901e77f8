"""Texts from outside, in characters that each database, tokenizer and file takes."""

import re
from typing import Any

NUL, SHOWN_NUL = "\0", "\N{SYMBOL FOR NULL}"
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def storable(text: str) -> str:
    """NUL, which PostgreSQL does not store, becomes ␀, and half characters (lone surrogates), which
    JSON may hold and UTF-8 may not, become �."""
    return LONE_SURROGATE.sub(REPLACEMENT, text.replace(NUL, SHOWN_NUL))


def storable_json(value: Any) -> Any:
    """A value that was read from JSON, with each of its texts and names storable."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [storable_json(one) for one in value]
    if isinstance(value, dict):
        return {storable(name): storable_json(one) for name, one in value.items()}
    return value
