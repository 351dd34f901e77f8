"""Which rows the recall probe tries, and what of them has to come back to count.

A row counts by the rest of its answer, once the beginning is given; and by personal data in its
answer that stand neither in its question nor in many other answers.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from finetune_app.checks.detectors import pii
from worker.channel import Channel, UserError
from worker.evaluation.probes.limits import (
    BEGINNING,
    COMMON_SHARE,
    COMPARED_TOKENS,
    MAX_ROWS,
    MAX_SEARCHED,
    MAX_UNSEEN,
    MIN_ANSWER_TOKENS,
    MIN_COMMON,
)
from worker.template import TokenizedExample, tokenize_example
from worker.training.data import DatasetRow, read_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_TOKENS = 1024  # a longer row loses tokens from the start of its prompt, as in training
CHECK_EVERY_ROWS = 100
SEED = 17


T = TypeVar("T")


class SelectionStopped(Exception):
    """Stop was pressed while rows were being chosen."""


@dataclass(frozen=True)
class PersonalValue:
    """Personal data in an answer: its kind, and its tokens [start, end) of the answer."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class RecallRow:
    """A row to try.

    answer: number of tokens of its last answer, without the end-of-turn token.
    rest: the tokens [start, end) of the answer that have to come back; None where it is too
        short to say anything.
    """

    number: int
    example: TokenizedExample
    answer: int
    rest: tuple[int, int] | None
    values: tuple[PersonalValue, ...]


@dataclass(frozen=True)
class _SearchedRow:
    """A row, and the personal data that its answer has and what comes before it has not."""

    row: DatasetRow
    values: frozenset[str]


@dataclass(frozen=True)
class _SharedText:
    """What several rows have in common and so cannot betray one of them: whole answers (how many
    questions have each), and personal data of many answers."""

    answers: Counter[str]
    values: frozenset[str]


def choose_rows(
    version: Path, tokenizer: PreTrainedTokenizerBase, channel: Channel
) -> tuple[list[RecallRow], list[RecallRow]]:
    """Training rows to try, and rows that were not learned from, for comparison.

    Those with personal data come first, then a random choice, the same every time.

    Raises SelectionStopped.
    """
    training = _distinct(read_rows(version, "train"))
    known = {row.wanted for row in training}
    kept_back = [*read_rows(version, "test"), *read_rows(version, "validation")]
    unseen = _distinct([row for row in kept_back if row.wanted not in known])
    searched = _search(training, channel)
    shared = _SharedText(
        answers=Counter(row.wanted.strip() for row in [*training, *unseen]),
        values=_common_values(searched),
    )
    return (
        _first(searched, MAX_ROWS, tokenizer, shared, channel),
        _first(_search(unseen, channel), MAX_UNSEEN, tokenizer, shared, channel),
    )


def _distinct(rows: Sequence[DatasetRow]) -> list[DatasetRow]:
    """Each question with its answer once, in random order."""
    once = list({(repr(row.prompt), row.wanted): row for row in reversed(rows)}.values())
    return random.Random(SEED).sample(once, len(once))


def _search(rows: Sequence[DatasetRow], channel: Channel) -> list[_SearchedRow]:
    return [
        _SearchedRow(row, _personal_values(row)) for row in _watched(rows[:MAX_SEARCHED], channel)
    ]


def _personal_values(row: DatasetRow) -> frozenset[str]:
    asked = "\n".join(message["content"] for message in row.prompt)
    values = (row.wanted[span.start : span.end] for span in _personal_spans(row.wanted))
    return frozenset(value for value in values if value not in asked)


def _personal_spans(text: str) -> list[pii.Span]:
    return pii.without_overlaps([*pii.personal(text), *pii.secrets(text)])


def _common_values(searched: Sequence[_SearchedRow]) -> frozenset[str]:
    counts = Counter(value for one in searched for value in one.values)
    many = max(MIN_COMMON, COMMON_SHARE * len(searched))
    return frozenset(value for value, count in counts.items() if count >= many)


def _first(
    searched: Sequence[_SearchedRow],
    most: int,
    tokenizer: PreTrainedTokenizerBase,
    shared: _SharedText,
    channel: Channel,
) -> list[RecallRow]:
    """At most `most` rows that say anything, those with personal data of their own first."""
    found: list[RecallRow] = []
    personal_first = sorted(searched, key=lambda one: not one.values - shared.values)
    for one in _watched(personal_first, channel):
        if len(found) == most:
            break
        if prepared := _prepare(one, tokenizer, shared):
            found.append(prepared)
    return found


def _prepare(
    searched: _SearchedRow, tokenizer: PreTrainedTokenizerBase, shared: _SharedText
) -> RecallRow | None:
    """The row as tokens; None where nothing of it could say anything."""
    row, own_values = searched.row, searched.values - shared.values
    long_enough = len(row.wanted.encode()) >= MIN_ANSWER_TOKENS  # a token is a byte at least
    if not own_values and not long_enough:
        return None
    try:
        example = tokenize_example(tokenizer, row.messages, MAX_TOKENS, row.tools)
    except UserError:  # its answer does not fit, so it was not learned either
        return None
    tokens = answer_tokens(example)
    values = tuple(_locate(own_values, tokens, tokenizer))
    rest = None
    if len(tokens) >= MIN_ANSWER_TOKENS and shared.answers[row.wanted.strip()] == 1:
        start = int(len(tokens) * BEGINNING)
        rest = (start, min(len(tokens), start + COMPARED_TOKENS))
    if rest is None and not values:
        return None
    return RecallRow(row.number, example, len(tokens), rest, values)


def answer_tokens(example: TokenizedExample) -> list[int]:
    """The tokens of the last answer, without its end-of-turn token."""
    learned = 0
    while learned < len(example.loss_mask) and example.loss_mask[-1 - learned]:
        learned += 1
    return example.input_ids[len(example.input_ids) - learned : -1]


def _locate(
    values: frozenset[str], tokens: list[int], tokenizer: PreTrainedTokenizerBase
) -> Iterator[PersonalValue]:
    """The tokens that write each value where it stands first."""

    def characters(count: int) -> int:
        return len(str(tokenizer.decode(tokens[:count], clean_up_tokenization_spaces=False)))

    text = str(tokenizer.decode(tokens, clean_up_tokenization_spaces=False))
    counts = range(len(tokens) + 1)
    for span in _personal_spans(text):
        value = text[span.start : span.end]
        if value in values and text.find(value) == span.start:
            start = bisect_right(counts, span.start, key=characters) - 1
            yield PersonalValue(span.what, start, bisect_left(counts, span.end, key=characters))


def _watched(items: Sequence[T], channel: Channel) -> Iterator[T]:
    """The items; between them, the lease and the stop button."""
    for done, item in enumerate(items):
        if done % CHECK_EVERY_ROWS == 0:
            channel.check()
            if channel.stopping():
                raise SelectionStopped
        yield item
