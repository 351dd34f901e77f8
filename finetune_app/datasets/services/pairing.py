"""Pairs that a person makes by preferring one of two answers to the same question."""

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.chat_messages import Message
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Dataset, Example, ExampleQuerySet, Split
from finetune_app.datasets.services.adding import add_example
from finetune_app.datasets.services.editing import change_many, naming_lost_thought
from finetune_app.datasets.services.locking import lock
from finetune_app.datasets.text import prompt_hash


def prefer(
    *, dataset: Dataset, by: User, messages: list[Message], rejected: str, source: str
) -> Example:
    """The example that ends in the better answer and has the worse one.

    It is added as approved, unless the dataset has it; a pair that was made the other way round is
    turned. Raises PlainError when both answers are the same, or the question is one of the test.
    """
    with transaction.atomic():
        lock(dataset)
        asked_before = dataset.examples.filter(prompt_hash=prompt_hash(messages))
        if asked_before.filter(split=Split.TEST).exists():  # in the trash too: versions keep it
            raise PlainError(
                _(
                    "This is one of the test questions, and a model cannot be tested on what it "
                    "learns from. Ask something else to make a pair."
                ),
                status=409,
            )
        found = _same_pair(asked_before.kept(), messages[-1]["content"], rejected)
        if found is None:
            example, _edit = add_example(
                dataset=dataset, by=by, messages=messages, rejected=rejected, source=source
            )
            return example
        if found.answer != messages[-1]["content"]:
            what = _("Turned the answers of %s") % found
            change_many(
                dataset=dataset,
                by=by,
                what=naming_lost_thought(what, found.messages, messages),
                examples=[found],
                fields=lambda _row: {"messages": messages, "rejected": rejected},
            )
    return found


def _same_pair(rows: ExampleQuerySet, better: str, worse: str) -> Example | None:
    """The row with these two answers, whichever is the better one."""
    pairs = (
        row for row in rows.exclude(rejected="") if {row.answer, row.rejected} == {better, worse}
    )
    return next(pairs, None)
