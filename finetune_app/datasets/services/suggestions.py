"""Answers that a candidate proposes. They count for nothing until a person takes one."""

from finetune_app.datasets import labels
from finetune_app.datasets.models import Dataset, Example, ExampleQuerySet, Status, Suggestion
from finetune_app.datasets.queues import takes_two

OPEN_ROWS = (Status.PENDING, Status.DRAFT)
LONGEST = 100_000  # characters that are kept of one


def waiting(dataset: Dataset, candidate_id: int, most: int) -> list[Example]:
    """Rows to do that this candidate has proposed nothing for, the first `most` of them. Rows that
    two people answer independently get no suggestion: it would sway both."""
    rows: ExampleQuerySet = dataset.examples.kept().filter(status=Status.PENDING)
    rows = rows.exclude(suggestions__candidate_id=candidate_id).select_related("dataset")
    found: list[Example] = []
    for row in rows.order_by("number").iterator(500):
        if len(found) >= most:
            break
        if not takes_two(row):
            found.append(row)
    return found


def add(*, example_id: int, candidate_id: int, source: str, answer: str) -> Suggestion | None:
    """Propose an answer. The same candidate's next word replaces its last one; None where the row
    is gone or needs no suggestion any more."""
    rows = Example.objects.kept().filter(pk=example_id, status__in=OPEN_ROWS)
    row = rows.select_related("dataset").first()
    answer = answer.strip()[:LONGEST]
    if row is None or not answer:
        return None
    suggestion, _new = Suggestion.objects.update_or_create(
        example=row,
        candidate_id=candidate_id,
        defaults={
            "answer": labels.meant(row.dataset.labels, answer),
            "source": source[:200],
            "state": Suggestion.State.OPEN,
        },
    )
    return suggestion


def shown(example: Example) -> Suggestion | None:
    """The newest one that this row still shows: while it is to do, and nobody sent it away."""
    if example.status not in OPEN_ROWS or takes_two(example):
        return None
    return example.suggestions.exclude(state=Suggestion.State.DISMISSED).first()


def take(*, example: Example, answer: str) -> None:
    """A person saved this answer: what proposed the same is taken."""
    same = example.suggestions.filter(answer=answer.strip(), state=Suggestion.State.OPEN)
    same.update(state=Suggestion.State.TAKEN)


def dismiss(*, example: Example) -> None:
    """Send what is shown away; the row can be written from nothing."""
    example.suggestions.update(state=Suggestion.State.DISMISSED)
