"""When answers count as a fixed set of labels: few different ones, each of them frequent."""

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


# Each use has limits of its own.
BUTTONS = LabelLimits(20, 3)  # more buttons do not help
PROMPT_HINT = LabelLimits(24, 2)  # listed in a sentence of the instructions
FIELD_HINT = LabelLimits(12, 3, least=1)  # the values of one field of an answer
SPLITS = LabelLimits(30, 5)  # each is spread evenly over the splits
RARE_LABELS = LabelLimits(50, 5)  # of the check for rare ones, and its chart
