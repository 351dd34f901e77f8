"""What was seen in each row, kept in the database: only rows that changed are looked at again."""

from collections.abc import Iterable

from django.db.models import Q

from finetune_app.datasets.checks.base import Mark, Row, Seen
from finetune_app.datasets.checks.rowwise import fingerprint, look
from finetune_app.datasets.models import Dataset, Look

BATCH = 500
FIELDS = ["fingerprint", "marks", "language", "toxic", "tokens", "answer_tokens", "model"]


def seen_in(dataset: Dataset, rows: list[Row], model: str = "") -> dict[int, Seen]:
    """pk -> what is seen in each row. New and changed ones are looked at now, and kept; what
    takes a process of its own stays unknown for those."""
    kept = {
        pk: values
        for pk, *values in Look.objects.filter(example__dataset=dataset).values_list("pk", *FIELDS)
    }
    seen: dict[int, Seen] = {}
    new: list[Look] = []
    for row in rows:
        print_ = fingerprint(row.messages)
        known = kept.get(row.pk)
        if known and known[0] == print_:
            seen[row.pk] = read(known, model)
        else:
            seen[row.pk] = look(row.messages)
            new.append(as_look(row.pk, print_, seen[row.pk], ""))
    keep(new)
    return seen


def read(values: list, model: str) -> Seen:
    """From the fields of a Look; tokens count only when they are those of `model`."""
    _print, marks, language, toxic, tokens, answer_tokens, of = values
    mine = bool(model) and of == model
    return Seen(
        tuple(Mark(*mark) for mark in marks),
        language,
        toxic,
        tokens if mine else None,
        answer_tokens if mine else None,
    )


def as_look(pk: int, print_: str, seen: Seen, model: str) -> Look:
    return Look(
        example_id=pk,
        fingerprint=print_,
        marks=[list(mark) for mark in seen.marks],
        language=seen.language,
        toxic=seen.toxic,
        tokens=seen.tokens,
        answer_tokens=seen.answer_tokens,
        model=model,
    )


def keep(looks: Iterable[Look]) -> None:
    Look.objects.bulk_create(
        looks,
        batch_size=BATCH,
        update_conflicts=True,
        update_fields=FIELDS,
        unique_fields=["example"],
    )


def not_thorough(dataset: Dataset) -> int:
    """How many usable examples no thorough check has seen as they are now."""
    return dataset.examples.usable().filter(Q(look=None) | Q(look__toxic=None)).count()
