"""Which prompts are asked: of rows to learn from and to practise on, never of the test."""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence

from django.db.models import Exists, OuterRef, Q

from finetune_app.candidates.suggestion_runs import without_answer
from finetune_app.core.chat_messages import Message
from finetune_app.datasets.models import PAIR, Dataset, Example, ExampleQuerySet, Split, Status
from finetune_app.labelling.queues import needs_two_answers

PRACTICE_SHARE = 0.2  # of the prompts, as in a dataset
BATCH_ROWS = 500
MAX_ROWS_READ = 20_000  # to find prompts in; of a larger dataset a sample


def pick_rows(dataset: Dataset, count: int) -> list[Example]:
    """Up to `count` rows with different prompts that have no training pair, in random order.

    About a fifth are practice rows, where there are as many.
    """
    wanted = {Split.VALIDATION.value: round(PRACTICE_SHARE * count)}
    wanted[Split.TRAIN.value] = count - wanted[Split.VALIDATION]
    found: dict[str, list[Example]] = {split: [] for split in wanted}
    seen: set[str] = set()
    for row in _in_random_order(dataset):
        if row.prompt_hash in seen or not can_be_asked(row) or len(found[row.split]) >= count:
            continue
        seen.add(row.prompt_hash)
        found[row.split].append(row)
        if all(len(found[split]) >= number for split, number in wanted.items()):
            break
    return _mixed(found, wanted, count)


def any_row(dataset: Dataset) -> bool:
    """Whether there is one that `pick_rows` could take."""
    rows = askable(dataset).select_related("dataset").order_by("number")
    first = rows.first()  # nearly always: then the others are not read
    if first is None:
        return False
    others = rows[:MAX_ROWS_READ].iterator(BATCH_ROWS)
    return can_be_asked(first) or any(can_be_asked(row) for row in others)


def _mixed(found: dict[str, list[Example]], wanted: dict[str, int], count: int) -> list[Example]:
    """So many of each split as wanted; where one has fewer, more of the other."""
    chosen = [row for split, rows in found.items() for row in rows[: wanted[split]]]
    spare = [row for split, rows in found.items() for row in rows[wanted[split] :]]
    chosen += spare[: count - len(chosen)]
    random.shuffle(chosen)
    return chosen


def _in_random_order(dataset: Dataset) -> Iterator[Example]:
    numbers = random.sample(
        range(1, dataset.last_number + 1), min(dataset.last_number, MAX_ROWS_READ)
    )
    for start in range(0, len(numbers), BATCH_ROWS):
        rows = askable(dataset).filter(number__in=numbers[start : start + BATCH_ROWS])
        some = list(rows.select_related("dataset"))
        random.shuffle(some)
        yield from some


def askable(dataset: Dataset) -> ExampleQuerySet:
    """Approved rows, and rows to do that nobody was given, whose prompt has no training pair; none
    with tools, whose answer may be a call."""
    pairs = Example.objects.kept().filter(PAIR, dataset=dataset).order_by()
    rows: ExampleQuerySet = dataset.examples.kept().apart_from_test()
    return rows.filter(tools=[]).filter(
        Q(status=Status.APPROVED) | Q(status=Status.PENDING, assigned_to=None),
        ~Exists(pairs.filter(prompt_hash=OuterRef("prompt_hash"))),
    )


def can_be_asked(row: Example) -> bool:
    """Whether somebody asks something last, and no second person is to answer it unaided."""
    messages = without_answer(row.messages)
    return bool(messages) and messages[-1]["role"] == "user" and not needs_two_answers(row)


def may_be_learned(row: Example) -> bool:
    """Whether a pair may still be made of it: it could have moved into the test meanwhile."""
    rows = Example.objects.kept().apart_from_test().exclude(status=Status.SET_ASIDE)
    return rows.filter(pk=row.pk, tools=[]).exists()


def fingerprint(messages: Sequence[Message]) -> str:
    """The same for the same conversation, its instructions included."""
    text = json.dumps(without_answer(list(messages)), ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
