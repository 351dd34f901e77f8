"""How long requests took and how long their answers were, in little room: counts by step.

Two hours are put together by adding their counts, which percentiles themselves do not allow, and
what is read off is right to within 5%.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Self

GROWTH = 1.1
LEAST = 0.001  # seconds; what is quicker counts as this
MOST_STEP = 160  # about an hour


class Spread(Counter[int]):
    """How many requests took each step; steps grow by a tenth."""

    @staticmethod
    def step_of(amount: float) -> int:
        return min(MOST_STEP, round(math.log(max(amount, LEAST) / LEAST) / math.log(GROWTH)))

    @staticmethod
    def amount_of(step: int) -> float:
        return float(LEAST * GROWTH**step)

    @classmethod
    def of(cls, amounts: Iterable[float]) -> Self:
        return cls(cls.step_of(one) for one in amounts)

    @classmethod
    def read(cls, kept: Mapping[str, int]) -> Self:
        return cls({int(step): count for step, count in kept.items()})

    def kept(self) -> dict[str, int]:
        """As JSON keeps it."""
        return {str(step): count for step, count in sorted(self.items())}

    def at(self, share: float) -> float | None:
        """What this share of them stays below; None where there is none."""
        rank = math.ceil(share * self.total())
        passed = 0
        for step in sorted(self):
            passed += self[step]
            if passed >= rank > 0:
                return self.amount_of(step)
        return None


class Lengths(Spread):
    """How many answers had so many tokens: exact below a hundred, then to two digits."""

    @staticmethod
    def step_of(amount: float) -> int:
        tokens = round(amount)
        place = 10 ** max(0, len(str(tokens)) - 2)
        return round(tokens / place) * place

    @staticmethod
    def amount_of(step: int) -> float:
        return float(step)
