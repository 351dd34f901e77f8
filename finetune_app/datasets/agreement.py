"""How well two people agree who answered the same rows without seeing each other."""

import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass

import krippendorff
import numpy as np
from django.utils.translation import gettext as _

from finetune_app.datasets.models import Dataset, Label

LOOKED_AT = 1_000  # the newest rows that two people answered
SORTS = 300  # with more different answers only the newest FEW rows are compared
FEW = 150
LEAST = 10  # rows below which a number would be chance
# From Krippendorff, Content Analysis (2004), p. 241: rely on 0.800 and more, draw only tentative
# conclusions from 0.667 and more.
RELIABLE, TENTATIVE = 0.8, 2 / 3


@dataclass(frozen=True)
class Agreement:
    """`rows` have two answers, `same` of them the same one. `alpha` is Krippendorff's alpha for
    nominal answers: 1 is perfect, 0 what chance would give; None where it cannot be told."""

    rows: int
    same: int
    alpha: float | None
    words: str


def of(dataset: Dataset) -> Agreement:
    answers = _answers(dataset)
    same = sum(len(set(two)) == 1 for two in answers)
    alpha = alpha_of(answers) if len(answers) >= LEAST else None
    return Agreement(len(answers), same, alpha, _words(answers, alpha))


def alpha_of(answers: list[list[str]]) -> float | None:
    """Krippendorff's alpha over units, each a list of what was said; None when everybody always
    said the same one thing."""
    sorts = {text: at for at, text in enumerate(dict.fromkeys(t for two in answers for t in two))}
    counts = np.zeros((len(answers), len(sorts)))
    for unit, two in enumerate(answers):
        for text, count in Counter(two).items():
            counts[unit, sorts[text]] = count
    if len(sorts) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        alpha = float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))
    return alpha if alpha == alpha else None


def _answers(dataset: Dataset) -> list[list[str]]:
    """What was said to each row that has two answers, the newest rows first."""
    labels = Label.objects.filter(example__dataset=dataset, example__deleted_at=None)
    by_row: dict[int, list[str]] = defaultdict(list)
    for row, text in labels.order_by("-example_id", "pk").values_list("example_id", "answer")[
        : 2 * LOOKED_AT
    ]:
        by_row[row].append(text.strip())
    found = [two for two in by_row.values() if len(two) > 1]
    return found[:FEW] if len({text for two in found for text in two}) > SORTS else found


def _words(answers: list[list[str]], alpha: float | None) -> str:
    if not answers:
        return _("No row has two answers yet.")
    if len(answers) < LEAST:
        return _("Too few to tell yet: from %(n)d rows on there is a number.") % {"n": LEAST}
    if alpha is None:
        return _(
            "Everybody gave the same answer every time, so nothing can be said about "
            "agreement: the rows are too alike."
        )
    if alpha >= RELIABLE:
        return _("You agree well: the answers can be relied on.")
    if alpha >= TENTATIVE:
        return _("You agree fairly well. Look at the disagreements: each is a rule to write down.")
    if alpha > 0:
        return _(
            "You agree too rarely to teach a model one way. Settle the disagreements "
            "together and write down the rule for each."
        )
    return _("You agree no more often than chance would. Talk about what the answers mean first.")
