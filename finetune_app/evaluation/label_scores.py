"""How well labels are told apart: accuracy, macro F1 and the confusion table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from finetune_app.goals.measures.field_scores import FieldScore

OTHER = None  # what was answered is none of the labels


@dataclass(frozen=True)
class Mixup:
    """One label answered where another was wanted, and how often. `given` is None for an answer
    that is no label."""

    wanted: str
    given: str | None
    count: int


class LabelScores:
    """Scores of (wanted label, answer) pairs. The labels are those that were wanted anywhere, the
    most frequent first; every other answer counts as none of them."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        pairs = list(pairs)
        self.wanted = Counter(wanted for wanted, _given in pairs)
        self.labels = [label for label, _count in self.wanted.most_common()]
        known = set(self.labels)
        self.counts: Counter[tuple[str, str | None]] = Counter(
            (wanted, given if given in known else OTHER) for wanted, given in pairs
        )

    @property
    def right(self) -> int:
        return sum(self.counts[label, label] for label in self.labels)

    @property
    def accuracy(self) -> float:
        total = self.counts.total()
        return self.right / total if total else 0.0

    def score(self, label: str) -> FieldScore:
        """Precision, recall and F1 of one label."""
        given = sum(count for (_wanted, one), count in self.counts.items() if one == label)
        return FieldScore(self.counts[label, label], given, self.wanted[label])

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the labels: a rare label counts as much as a frequent one."""
        if not self.labels:
            return 0.0
        return sum(self.score(label).f1 for label in self.labels) / len(self.labels)

    def mixups(self, most: int) -> list[Mixup]:
        """The most frequent mistakes; of equals, by the frequency of the labels."""
        order: dict[str | None, int] = {label: at for at, label in enumerate(self.labels)}
        wrong = [
            Mixup(wanted, given, count)
            for (wanted, given), count in self.counts.items()
            if wanted != given
        ]
        last = len(order)
        return sorted(
            wrong, key=lambda one: (-one.count, order[one.wanted], order.get(one.given, last))
        )[:most]
