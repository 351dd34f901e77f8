"""Facts that the app can count itself, so that the wizard does not ask for them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.checks.models import Finding
from finetune_app.datasets import status_counts
from finetune_app.datasets.models import Dataset, Split, Status
from finetune_app.goals.models import Goal
from finetune_app.guide.advice.questions import Value
from finetune_app.knowledge.models import Document

PRIVATE_CHECKS = ("personal", "secrets")  # checks of the dataset that find private data


@dataclass(frozen=True)
class Fact:
    """A known answer to the question called `name`."""

    name: str
    value: Value
    words: str  # "You have 214 examples"


def known_facts(goal: Goal) -> list[Fact]:
    """Facts about what exists here. Zero is not one: a user may have documents elsewhere."""
    dataset, documents, has_private = _read(goal)
    counted = status_counts.counts(dataset) if dataset else Counter[str]()
    pairs, tests = _examples(counted), counted[Split.TEST]
    is_all = pairs == counted[Status.APPROVED]
    found = []
    if documents:
        words = ngettext("You have %(n)s document", "You have %(n)s documents", documents)
        found.append(_counted("documents", documents, words))
    if pairs:
        found.append(_counted("pairs", pairs, _examples_words(pairs, is_all)))
    if tests:
        found.append(_counted("test_questions", tests, _tests_words(tests, is_all)))
    if has_private:
        found.append(Fact("private_data", True, _("There is private data in your examples")))
    return found


def _examples(counted: Mapping[str, int]) -> int:
    """How many examples a training would have.

    Where most are to learn from, the others are the practice and the test of that training, and all
    count. Otherwise the others are questions to test with, and do not count.
    """
    to_learn_from, approved = counted[Split.TRAIN], counted[Status.APPROVED]
    return approved if 2 * to_learn_from > approved else to_learn_from


def _examples_words(pairs: int, is_all: bool) -> str:
    if is_all:
        return ngettext("You have %(n)s example", "You have %(n)s examples", pairs)
    return ngettext(
        "You have %(n)s example to learn from", "You have %(n)s examples to learn from", pairs
    )


def _tests_words(tests: int, of_examples: bool) -> str:
    if of_examples:
        return ngettext(
            "%(n)s of them is kept back to test with",
            "%(n)s of them are kept back to test with",
            tests,
        )
    return ngettext("You have %(n)s test question", "You have %(n)s test questions", tests)


def _read(goal: Goal) -> tuple[Dataset | None, int, bool]:
    """The goal's dataset, how many documents are ready, and whether a check found private data; in
    one query."""
    ready = Q(knowledge__documents__state=Document.State.READY)
    private = Finding.objects.filter(dataset__goal=OuterRef("pk"), check_name__in=PRIVATE_CHECKS)
    rows = Goal.objects.select_related("dataset").only("dataset__last_number")
    found: Any = rows.annotate(
        documents=Count("knowledge__documents", filter=ready), has_private=Exists(private)
    ).get(pk=goal.pk)
    return getattr(found, "dataset", None), found.documents, found.has_private


def known_values(goal: Goal) -> dict[str, Value]:
    return {fact.name: fact.value for fact in known_facts(goal)}


def _counted(name: str, value: int, words: str) -> Fact:
    return Fact(name, value, words % {"n": f"{value:,}"})
