"""Answers suggested by a candidate. They have no effect until a user accepts one."""

from collections.abc import Collection

from django.db.models import Count, Q

from finetune_app.datasets.models import (
    BY_A_PERSON,
    Dataset,
    Example,
    ExampleQuerySet,
    Split,
    Status,
    Suggestion,
)
from finetune_app.labelling.class_labels import match_label
from finetune_app.labelling.queues import needs_two_answers

OPEN_ROWS = (Status.PENDING, Status.DRAFT)
MAX_ANSWER_CHARS = 100_000  # a longer answer is cut


def rows_to_do(dataset: Dataset) -> ExampleQuerySet:
    """Rows without an answer for which a model may suggest one. Of the test it may not: it would
    be tested on answers of its own."""
    return dataset.examples.kept().filter(status=Status.PENDING).outside_test()


def count_rows_to_do(dataset: Dataset) -> tuple[int, int]:
    """(how many they are, how many rows without an answer are kept for the test instead)."""
    counts = (
        dataset.examples.kept()
        .filter(status=Status.PENDING)
        .aggregate(all=Count("pk"), kept=Count("pk", filter=Q(split=Split.TEST)))
    )
    return counts["all"] - counts["kept"], counts["kept"]


def rows_without_suggestion(
    dataset: Dataset, candidate_id: int, limit: int, last: Collection[int] = ()
) -> list[Example]:
    """The first rows to do for which this candidate has made no suggestion; those whose keys are in
    `last` come after all others.

    Rows that need two independent answers are left out: a suggestion would bias both. So are rows
    with tools, whose answer may be a call.
    """
    rows = rows_to_do(dataset).filter(tools=[]).select_related("dataset")
    rows = rows.exclude(suggestions__candidate_id=candidate_id)
    found: list[Example] = []
    later: list[Example] = []
    for row in rows.order_by("number").iterator(500):
        if len(found) >= limit:
            break
        if needs_two_answers(row):
            continue
        if row.pk not in last:
            found.append(row)
        elif len(later) < limit:
            later.append(row)
    return [*found, *later][:limit]


def add_suggestion(
    *, example_id: int, candidate_id: int, source: str, answer: str
) -> Suggestion | None:
    """Store a suggestion in place of the candidate's earlier one for the row.

    Returns None when the row is deleted, has an answer, or is in the test and no person wrote this.
    """
    rows: ExampleQuerySet = Example.objects.kept().filter(pk=example_id, status__in=OPEN_ROWS)
    if candidate_id != BY_A_PERSON:
        rows = rows.outside_test()
    row = rows.select_related("dataset").first()
    answer = answer.strip()[:MAX_ANSWER_CHARS]
    if row is None or not answer:
        return None
    suggestion, _new = Suggestion.objects.update_or_create(
        example=row,
        candidate_id=candidate_id,
        defaults={
            "answer": match_label(row.dataset.labels, answer),
            "source": source[:200],
            "state": Suggestion.State.OPEN,
        },
    )
    return suggestion


def visible_suggestion(example: Example) -> Suggestion | None:
    """The newest suggestion that is not dismissed, while the row has no final answer."""
    if example.status not in OPEN_ROWS or needs_two_answers(example):
        return None
    return example.suggestions.visible().exclude(state=Suggestion.State.DISMISSED).first()


def mark_taken(*, example: Example, answer: str) -> None:
    """Mark suggestions that equal the saved answer as taken."""
    same = example.suggestions.filter(answer=answer.strip(), state=Suggestion.State.OPEN)
    same.update(state=Suggestion.State.TAKEN)


def dismiss_suggestions(*, example: Example) -> None:
    example.suggestions.update(state=Suggestion.State.DISMISSED)
