"""The closed set of answers: which ones there are, and when to offer buttons for them."""

from collections import Counter

from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Dataset
from finetune_app.datasets.text import normalise

LOOKED_AT = 500  # answers from which a closed set is told
LEAST_ROWS = 10
MOST_SORTS = 20  # more are no help as buttons
EACH = 3  # rows that every sort of answer stands for, on average
MOST_LETTERS = 120
KEYS = 9  # the first ones have a key


def offered(dataset: Dataset) -> list[str]:
    """The few different answers of the rows that are done, the most frequent first; nothing where
    answers are free, a set was chosen already, or somebody said no."""
    if dataset.labels or not dataset.offer_labels:
        return []
    done = dataset.examples.usable().order_by("number")
    answers = [text.strip() for text in done.values_list("answer", flat=True)[:LOOKED_AT]]
    sorts = Counter(answers)
    few = 1 < len(sorts) <= MOST_SORTS and len(sorts) * EACH <= len(answers)
    short = all(len(one) <= MOST_LETTERS and "\n" not in one for one in sorts)
    if len(answers) < LEAST_ROWS or not few or not short:
        return []
    return [text for text, _count in sorts.most_common()]


def read(text: str) -> list[str]:
    """One answer a line, as people write them. Raises PlainError for too many or too long."""
    lines = [line.strip() for line in text.splitlines()]
    found = list(dict.fromkeys(line for line in lines if line))
    if len(found) > MOST_SORTS:
        raise PlainError(
            _(
                "%(n)d answers are more than buttons can help with. Keep at most %(most)d, or "
                "leave the list empty and write the answers."
            )
            % {"n": len(found), "most": MOST_SORTS},
            status=422,
        )
    if any(len(one) > MOST_LETTERS for one in found):
        raise PlainError(
            _("An answer on a button has at most %(most)d characters.") % {"most": MOST_LETTERS},
            status=422,
        )
    return found


def meant(labels: list[str], text: str) -> str:
    """The label that a model meant: "Bell." is "bell". What is none of them stays."""

    def bare(words: str) -> str:
        return normalise(words).strip(" .,:;!?\"'`*")

    return next((one for one in labels if bare(one) == bare(text)), text)
