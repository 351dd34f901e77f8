"""Answers that fall apart: empty, going round in circles, or in the task's form uncalled for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

# Everyday prompts that hardly any fine-tuning task is about.
UNRELATED = (
    "What is a good way to spend a rainy afternoon?",
    "How do I boil an egg?",
    "Why is the sky blue?",
    "Tell me a short story about a lighthouse keeper.",
    "What should I pack for a weekend in the mountains?",
    "Explain what gravity is to a child.",
    "Give me some tips for learning to swim.",
    "What is the difference between a river and a lake?",
    "How can I make friends in a new town?",
    "Write a short poem about autumn leaves.",
    "Why do cats purr?",
    "How does a bicycle stay upright?",
)
NGRAM = 4  # words
REPEATED = 0.5  # share of an answer's n-grams that are repeats of earlier ones
SHORTER, LONGER = 0.1, 10.0  # times the base model's answer to the same prompt, in words


def going_round(answer: str) -> bool:
    """Whether at least half of the answer says again what it said before."""
    words = answer.split()
    grams = [tuple(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)]
    if len(grams) < 2 * NGRAM:
        return False
    return 1 - len(set(grams)) / len(grams) >= REPEATED


def shape_of(answer: str) -> str:
    """The outward form of an answer: json, xml, or plain."""
    text = answer.strip()
    if text.startswith("<") and text.endswith(">"):
        return "xml"
    try:
        return "json" if isinstance(json.loads(text), dict | list) else "plain"
    except ValueError:
        return "plain"


def openings(text: str) -> tuple[str, ...]:
    """What each line begins with, up to its colon: ("topic", "desk", "due"); else nothing."""
    lines = [line.partition(":") for line in text.strip().splitlines()]
    fields = tuple(before.strip().lower() for before, colon, _ in lines if colon)
    return fields if len(fields) == len(lines) > 1 else ()


class TaskForm:
    """What the wanted answers of the task look like, to recognise them where they do not belong."""

    def __init__(self, wanted: Sequence[str]) -> None:
        counted = Counter(text.strip().lower() for text in wanted)
        # A few answers that come again and again are labels; free text hardly ever repeats.
        few = len(counted) <= max(1, len(wanted) // 3)
        self.labels = set(counted) if few else set()
        shapes = Counter(shape_of(text) for text in wanted)
        self.shape = shapes.most_common(1)[0][0] if shapes else "plain"
        begun = Counter(openings(text) for text in wanted)
        self.openings = begun.most_common(1)[0][0] if begun else ()

    def is_its_own(self, answer: str) -> bool:
        """Whether this can only be an answer to the task: one of its labels, or its fields."""
        if answer.strip().lower() in self.labels:
            return True
        return bool(self.openings) and openings(answer) == self.openings

    def recognises(self, answer: str) -> bool:
        """Whether this answer to an unrelated prompt has the task's form."""
        if self.is_its_own(answer):
            return True
        return self.shape != "plain" and shape_of(answer) == self.shape


def strange(answer: str, base: str, form: TaskForm) -> bool:
    """Empty, in the task's form, or of a wild length, where the base model's answer was not."""
    if not base.strip() or form.recognises(base):
        return False
    if not answer.strip() or form.recognises(answer):
        return True
    return not SHORTER <= len(answer.split()) / len(base.split()) <= LONGER
