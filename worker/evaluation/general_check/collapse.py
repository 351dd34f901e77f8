"""Degenerate answers: empty, repetitive, or in the task's form where that was not asked for."""

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
NGRAM_WORDS = 4
REPEATED_SHARE = 0.5  # of an answer's n-grams that repeat earlier ones
MIN_LENGTH_RATIO, MAX_LENGTH_RATIO = 0.1, 10.0  # to the base model's answer, in words


def is_repetitive(answer: str) -> bool:
    """Whether at least half of the answer's n-grams repeat earlier ones."""
    words = answer.split()
    grams = [tuple(words[i : i + NGRAM_WORDS]) for i in range(len(words) - NGRAM_WORDS + 1)]
    if len(grams) < 2 * NGRAM_WORDS:
        return False
    return 1 - len(set(grams)) / len(grams) >= REPEATED_SHARE


def shape_of(answer: str) -> str:
    """The format of an answer: json, xml or plain."""
    text = answer.strip()
    if text.startswith("<") and text.endswith(">"):
        return "xml"
    try:
        return "json" if isinstance(json.loads(text), dict | list) else "plain"
    except ValueError:
        return "plain"


def line_keys(text: str) -> tuple[str, ...]:
    """The keys of an answer in "key: value" lines: ("topic", "desk", "due"); else empty."""
    lines = [line.partition(":") for line in text.strip().splitlines()]
    fields = tuple(before.strip().lower() for before, colon, _ in lines if colon)
    return fields if len(fields) == len(lines) > 1 else ()


class TaskForm:
    """The form of the task's expected answers, to recognise it in other answers."""

    def __init__(self, wanted: Sequence[str]) -> None:
        answers = Counter(text.strip().lower() for text in wanted)
        # A few answers that repeat are labels; free text hardly ever repeats.
        few = len(answers) <= max(1, len(wanted) // 3)
        self.labels = set(answers) if few else set()
        shapes = Counter(shape_of(text) for text in wanted)
        self.shape = shapes.most_common(1)[0][0] if shapes else "plain"
        keys = Counter(line_keys(text) for text in wanted)
        self.line_keys = keys.most_common(1)[0][0] if keys else ()

    def is_task_answer(self, answer: str) -> bool:
        """Whether this can only be an answer to the task: one of its labels, or its keys."""
        if answer.strip().lower() in self.labels:
            return True
        return bool(self.line_keys) and line_keys(answer) == self.line_keys

    def recognises(self, answer: str) -> bool:
        """Whether this answer to an unrelated prompt has the form of the task's answers."""
        if self.is_task_answer(answer):
            return True
        return self.shape != "plain" and shape_of(answer) == self.shape


def is_strange(answer: str, base: str, form: TaskForm) -> bool:
    """Empty, in the task's form or of an extreme length, where the base model's answer was not."""
    if not base.strip() or form.recognises(base):
        return False
    if not answer.strip() or form.recognises(answer):
        return True
    return not MIN_LENGTH_RATIO <= len(answer.split()) / len(base.split()) <= MAX_LENGTH_RATIO
