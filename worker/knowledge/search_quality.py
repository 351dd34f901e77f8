"""Measure search on the goal's own practice questions, whose answers are known.

A question counts as found when one of the first passages contains the answer: literally or, for an
answer of several words, most of its keywords.
"""

from finetune_app.candidates.prompt_builder import Passage
from finetune_app.knowledge.passage_counts import MEASURED_PASSAGES
from finetune_app.knowledge.schemas import PracticeQuestion, SearchQuality
from worker.knowledge.search import STOP_WORDS, WORD, Index

MIN_KEYWORDS = 4  # shorter answers must be contained literally
MIN_KEYWORD_SHARE = 0.8


def measure(index: Index, questions: list[PracticeQuestion]) -> SearchQuality:
    missed = [
        one["id"]
        for one in questions
        if not any(
            contains_answer(passage, one["answer"])
            for passage in index.search(one["question"], MEASURED_PASSAGES)
        )
    ]
    found = len(questions) - len(missed)
    return {"asked": len(questions), "found": found, "missed": missed}


def contains_answer(passage: Passage, answer: str) -> bool:
    text, wanted = _normalised(f"{passage.title} {passage.text}"), _normalised(answer)
    if not wanted.strip():
        return False
    if wanted in text:
        return True
    keywords = {word for word in WORD.findall(wanted) if word not in STOP_WORDS}
    if len(keywords) < MIN_KEYWORDS:
        return False
    return len(keywords & set(WORD.findall(text))) >= MIN_KEYWORD_SHARE * len(keywords)


def _normalised(text: str) -> str:
    """Words in lower case without punctuation, between spaces: " 18 trays "."""
    return f" {' '.join(WORD.findall(text.lower()))} "
