"""Class labels: the fixed set of answers that a dataset may have, each with its own button."""

from collections import Counter

from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError
from finetune_app.datasets.label_sets import LabelLimits, with_every_label
from finetune_app.datasets.models import Dataset
from finetune_app.datasets.text import normalise

BUTTONS = LabelLimits(20, 3)  # more buttons do not help
MAX_ANSWERS_READ = 500  # a sample: a file may be sorted by its answers
MIN_ANSWERS = 10  # below that no labels are detected
MAX_LABEL_CHARS = 120
SHORTCUT_KEYS = 9  # the first labels have a key each


def detect_labels(dataset: Dataset) -> list[str]:
    """The distinct answers of finished rows, the most frequent first, then as they came.

    Empty when answers are free text, labels are set already, or the offer was declined.
    """
    if dataset.labels or not dataset.offer_labels:
        return []
    done = dataset.examples.usable()
    by_hash = done.order_by("-prompt_hash", "-pk").values_list("number", "answer")
    sample = [answer for _number, answer in sorted(by_hash[:MAX_ANSWERS_READ])]
    answers = with_every_label(sample, done, BUTTONS)
    labels = Counter(text.strip() for text in answers)
    few = BUTTONS.accept(len(labels), len(answers))
    short = all(len(one) <= MAX_LABEL_CHARS and "\n" not in one for one in labels)
    if len(answers) < MIN_ANSWERS or not few or not short:
        return []
    return [text for text, _count in labels.most_common()]


def parse_labels(text: str) -> list[str]:
    """One label per line. Raises PlainError for too many labels, or one that is too long."""
    lines = [line.strip() for line in text.splitlines()]
    found = list(dict.fromkeys(line for line in lines if line))
    if len(found) > BUTTONS.most:
        raise PlainError(
            _(
                "%(n)d answers are more than buttons can help with. Keep at most %(most)d, or "
                "leave the list empty and write the answers."
            )
            % {"n": len(found), "most": BUTTONS.most},
            status=422,
        )
    if any(len(one) > MAX_LABEL_CHARS for one in found):
        raise PlainError(
            _("An answer on a button has at most %(most)d characters.") % {"most": MAX_LABEL_CHARS},
            status=422,
        )
    return found


def match_label(labels: list[str], text: str) -> str:
    """The label that equals the text apart from case and punctuation, else the text itself."""

    def simplified(words: str) -> str:
        return normalise(words).strip(" .,:;!?\"'`*")

    return next((one for one in labels if simplified(one) == simplified(text)), text)
