"""Inter-annotator agreement on rows that two people have answered independently."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import krippendorff
import numpy as np
from django.db.models import Count
from django.utils.translation import gettext as _

from finetune_app.datasets.models import Dataset, Label

MAX_ROWS = 1_000  # the newest ones with two answers
MAX_DISTINCT_ANSWERS = 300  # with more of them, only the newest MAX_FREE_TEXT_ROWS are compared
MAX_FREE_TEXT_ROWS = 150
MIN_ROWS = 10  # with fewer, alpha is not meaningful
# Krippendorff, Content Analysis (2004), p. 241: data with an alpha of at least 0.800 are reliable,
# from 0.667 they allow tentative conclusions.
RELIABLE_ALPHA, TENTATIVE_ALPHA = 0.8, 2 / 3


@dataclass(frozen=True)
class Agreement:
    """Agreement on `rows` with two answers, of which `same` have equal ones.

    alpha: Krippendorff's alpha for nominal data; 1 is perfect, 0 is chance, None is undefined.
    """

    rows: int
    same: int
    alpha: float | None
    description: str


def agree(answers: Iterable[str]) -> bool:
    """Whether the answers of several people to one row are the same, but for outer space."""
    return len({answer.strip() for answer in answers}) == 1


def measure_agreement(dataset: Dataset) -> Agreement:
    answers = _answers(dataset)
    same = sum(agree(two) for two in answers)
    alpha = krippendorff_alpha(answers) if len(answers) >= MIN_ROWS else None
    return Agreement(len(answers), same, alpha, _describe(answers, alpha))


def krippendorff_alpha(answers: list[list[str]]) -> float | None:
    """Alpha of the answers to each row; None when there is only one distinct answer."""
    columns = {text: at for at, text in enumerate(dict.fromkeys(t for two in answers for t in two))}
    counts = np.zeros((len(answers), len(columns)))
    for unit, two in enumerate(answers):
        for text, count in Counter(two).items():
            counts[unit, columns[text]] = count
    if len(columns) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        alpha = float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))
    return alpha if alpha == alpha else None


def _answers(dataset: Dataset) -> list[list[str]]:
    """The answers to each row that has two, the newest rows first."""
    labels = Label.objects.filter(example__dataset=dataset, example__deleted_at=None)
    twice = labels.order_by().values("example").annotate(n=Count("pk")).filter(n__gt=1)
    newest = twice.order_by("-example").values("example")[:MAX_ROWS]
    by_row: dict[int, list[str]] = defaultdict(list)
    read = labels.filter(example__in=newest).order_by("-example_id", "pk")
    for row, text in read.values_list("example_id", "answer"):
        by_row[row].append(text.strip())
    found = list(by_row.values())
    distinct = {text for two in found for text in two}
    return found[:MAX_FREE_TEXT_ROWS] if len(distinct) > MAX_DISTINCT_ANSWERS else found


def _describe(answers: list[list[str]], alpha: float | None) -> str:
    if not answers:
        return _("No row has two answers yet.")
    if len(answers) < MIN_ROWS:
        return _("Too few to tell yet: from %(n)d rows on there is a number.") % {"n": MIN_ROWS}
    if alpha is None:
        return _(
            "Everybody gave the same answer every time, so nothing can be said about "
            "agreement: the rows are too alike."
        )
    if alpha >= RELIABLE_ALPHA:
        return _("You agree well: the answers can be relied on.")
    if alpha >= TENTATIVE_ALPHA:
        return _("You agree fairly well. Look at the disagreements: each is a rule to write down.")
    if alpha > 0:
        return _(
            "You agree too rarely to teach a model one way. Settle the disagreements "
            "together and write down the rule for each."
        )
    return _("You agree no more often than chance would. Talk about what the answers mean first.")
