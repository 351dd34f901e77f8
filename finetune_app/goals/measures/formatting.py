"""Formatting of the short labels below an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

NUMBER_WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def number_word(n: int) -> str:
    """Return 3 as "three", and numbers above ten as digits."""
    return NUMBER_WORDS[n] if 0 <= n <= 10 else f"{n:,}"


def with_count(n: int, noun: str) -> str:
    """Return "1 word", "31 words"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def join_with_and(names: Sequence[str]) -> str:
    """Return "topic", "topic and due", "topic, due and reply"."""
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + " and " + names[-1]


def describe_names(names: Sequence[str], one: str, many: str, noun: str) -> str:
    """Return "Topic differs", "Topic and due differ" or, above three, "4 fields differ"."""
    if len(names) > 3:
        return f"{len(names)} {noun}s {many}"
    text = join_with_and([shortened(name) for name in names])
    return f"{text[:1].upper()}{text[1:]} {one if len(names) == 1 else many}"


def shortened(text: str, longest: int = 30) -> str:
    """Return the text on one line, truncated to what fits a label."""
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


_FENCE_START = re.compile(r"```[\w+-]*[ \t]*\r?\n")


def strip_code_fence(text: str) -> str:
    """Return the content of a Markdown code fence when the fence is the whole text."""
    fence = text.strip()
    start = _FENCE_START.match(fence)
    if start is None or start.end() > len(fence) - 3 or not fence.endswith("```"):
        return text
    inside = fence[start.end() : -3].rstrip(" \t")
    return inside.removesuffix("\n").removesuffix("\r")
