"""Chooses a few answers out of many, to look for one that would do for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def commonest_answers(answers: Sequence[str], most: int) -> list[str]:
    """The most frequent answers, the commonest first; of equals, the first one seen."""
    return [text for text, _count in Counter(answers).most_common(most)]


def common_words(text: str, answers: Sequence[str]) -> str:
    """The text without the words that fewer than a third of the answers have: their frame, without
    what is particular to one."""
    counts = Counter(word for answer in answers for word in set(answer.split()))
    return " ".join(word for word in text.split() if 3 * counts[word] >= len(answers))


def evenly(answers: Sequence[str], most: int) -> list[str]:
    """At most `most` answers, evenly spaced."""
    return list(answers[:: -(-len(answers) // most) or 1])
