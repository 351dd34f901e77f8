"""Answers that need no model. A candidate that does not beat them has not learned the task.

Repeating the question, always giving the commonest answer or the one that scores best, both of
these at once, looking up the training row with the nearest question (by words and by meaning), and
an answer that only keeps the rules. They are scored by the goal's measure on the same test prompts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finetune_app.core.tool_calls import answer_text
from finetune_app.evaluation.job_messages import TrivialAnswer
from finetune_app.evaluation.verdict.types import TrivialBaseline
from finetune_app.goals.measures import Measure
from worker.channel import UserError
from worker.evaluation.inputs import PromptRow
from worker.knowledge.embedding import Embedder

MAX_ROWS_BY_WORDS = 20_000  # training rows that are compared, evenly chosen
MAX_ROWS_BY_MEANING = 1_000  # an embedding takes about 10 ms


@dataclass(frozen=True)
class TrainingRow:
    question: str
    answer: str


def read_training_rows(version: Path) -> list[TrainingRow]:
    """The training rows of a frozen version, without those that have no answer."""
    rows = []
    with version.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["split"] == "train" and len(row["messages"]) > 1:
                question, answer = row["messages"][-2:]
                rows.append(TrainingRow(question["content"], answer_text(answer)))
    return rows


def trivial_answers(
    rows: Sequence[PromptRow], training: Sequence[TrainingRow], measure: Measure
) -> Iterator[tuple[TrivialBaseline, list[str]]]:
    """Each baseline that this goal allows, with its answer to each test row."""
    questions = [row.search_query for row in rows]
    yield "repeat", questions
    if keeps_rules := measure.empty_pass():
        yield "rules", [keeps_rules] * len(rows)
    if not training:
        return
    commonest, _count = Counter(row.answer for row in training).most_common(1)[0]
    yield "commonest", [commonest] * len(rows)
    constant = measure.best_constant([row.answer for row in evenly(training, MAX_ROWS_BY_WORDS)])
    if constant != commonest:
        yield "constant", [constant] * len(rows)
    if not measure.tells_right:  # closeness: the frame of an answer, and the words of the question
        yield "constant_repeat", [f"{constant}\n{question}" for question in questions]
    yield "nearest_words", nearest_by_words(questions, evenly(training, MAX_ROWS_BY_WORDS))
    try:
        embedder = Embedder()
    except UserError:  # without the package, the words have to do
        return
    some = evenly(training, MAX_ROWS_BY_MEANING)
    yield "nearest_meaning", nearest_by_meaning(questions, some, embedder)


def scored(
    rows: Sequence[PromptRow], answers: Sequence[str], measure: Measure
) -> list[TrivialAnswer]:
    """The answers with their scores, as the event has them."""
    found: list[TrivialAnswer] = []
    for row, text in zip(rows, answers, strict=True):
        score = measure.check(text, row.wanted)
        found.append(
            {
                "index": row.index,
                "text": text,
                "passed": score.passed,
                "score": score.value,
                "why": score.why,
            }
        )
    return found


def evenly(training: Sequence[TrainingRow], most: int) -> Sequence[TrainingRow]:
    """At most `most` rows, evenly spaced."""
    return training[:: -(-len(training) // most)]


def nearest_by_words(questions: Sequence[str], training: Sequence[TrainingRow]) -> list[str]:
    """The answer of the training row whose question shares the most telling words (TF-IDF)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+")
    try:
        known = words.fit_transform([row.question for row in training])
    except ValueError:  # no question holds a word
        return [training[0].answer] * len(questions)
    similarity = words.transform(questions) @ known.T
    return [training[int(at)].answer for at in np.asarray(similarity.argmax(axis=1)).ravel()]


def nearest_by_meaning(
    questions: Sequence[str], training: Sequence[TrainingRow], embedder: Embedder
) -> list[str]:
    """The answer of the training row whose question means nearly the same."""
    known = embedder.embed_passages([row.question for row in training])
    similarity = embedder.embed_passages(list(questions)) @ known.T
    return [training[int(at)].answer for at in similarity.argmax(axis=1)]
