"""How well does search find? Asked with the goal's own practice questions, whose answers are known.

A question counts as found when one of the first passages says the wanted answer: its very words,
or, for an answer of several words, nearly all of those that carry meaning.
"""

import re
from typing import Any

from finetune_app.candidates.prompt_builder import Passage
from worker.knowledge.search import EMPTY, WORD, Index

LOOKED_AT = 5  # passages
MAX_QUESTIONS = 200
NEARLY_ALL = 0.8  # of the words of an answer
SEVERAL = 4  # words, from which not every one has to be there


def measure(index: Index, questions: list[dict[str, Any]]) -> dict[str, Any]:
    """questions: {"id", "question", "answer"}. Returns {"asked", "found", "missed": ids}."""
    asked = questions[:MAX_QUESTIONS]
    missed = [
        one["id"]
        for one in asked
        if not any(
            contains_answer(p, one["answer"]) for p in index.search(one["question"], LOOKED_AT)
        )
    ]
    return {"asked": len(asked), "found": len(asked) - len(missed), "missed": missed}


def contains_answer(passage: Passage, answer: str) -> bool:
    text, wanted = _flat(f"{passage.title} {passage.text}"), _flat(answer)
    if not wanted.strip():
        return False
    if wanted in text:
        return True
    words = {word for word in WORD.findall(wanted) if word not in EMPTY}
    if len(words) < SEVERAL:
        return False
    there = set(WORD.findall(text))
    return len(words & there) >= NEARLY_ALL * len(words)


def _flat(text: str) -> str:
    """Without case, punctuation and line ends: " 18 trays "."""
    return f" {' '.join(re.findall(WORD, text.lower()))} "
