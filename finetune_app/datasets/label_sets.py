"""When answers count as a fixed set of labels: few different ones, each of them frequent.

Each use has limits of its own, where it is.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finetune_app.datasets.models import ExampleQuerySet


@dataclass(frozen=True)
class LabelLimits:
    """The most labels of a set, the fewest answers that each has on average, the fewest labels."""

    most: int
    answers_per_label: int
    least: int = 2

    def accept(self, labels: int, answers: int) -> bool:
        """Whether so many different answers, of so many in all, are a set of labels."""
        return self.least <= labels <= self.most and self.answers_per_label * labels <= answers


def with_every_label(answers: list[str], rows: "ExampleQuerySet", limits: LabelLimits) -> list[str]:
    """answers, a sample of those of `rows`. Where they look like labels, with one of each that the
    sample lacks: all of them, or so many that they are no labels."""
    labels = {answer.strip() for answer in answers}
    if not limits.accept(len(labels), len(answers)):
        return answers
    every = rows.order_by().values_list("answer", flat=True).distinct()[: 4 * limits.most]
    return [*answers, *(answer for answer in every if answer.strip() not in labels)]
