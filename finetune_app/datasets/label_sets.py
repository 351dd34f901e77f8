"""When answers count as a fixed set of labels: few different ones, each of them frequent.

Each use has limits of its own, where it is.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class LabelLimits:
    """The most labels of a set, the fewest answers that each has on average, the fewest labels."""

    most: int
    answers_per_label: int
    least: int = 2

    def accept(self, labels: int, answers: int) -> bool:
        """Whether so many different answers, of so many in all, are a set of labels."""
        return self.least <= labels <= self.most and self.answers_per_label * labels <= answers
