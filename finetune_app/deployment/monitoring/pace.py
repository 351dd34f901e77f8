"""How long requests took (or their answers were), in little room: counts of steps that grow by a
tenth.

Two hours are put together by adding their counts, which percentiles themselves do not allow, and
what is read off is right to within 5%.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

GROWTH = 1.1
LEAST = 0.001  # seconds; what is quicker counts as this
MOST_STEP = 200  # about two days, or 190,000 tokens


def step_of(amount: float) -> int:
    return min(MOST_STEP, round(math.log(max(amount, LEAST) / LEAST) / math.log(GROWTH)))


def amount_of(step: int) -> float:
    return float(LEAST * GROWTH**step)


class Spread(Counter[int]):
    """How many requests took each step."""

    @classmethod
    def of(cls, amounts: Iterable[float]) -> "Spread":
        """Seconds, or tokens: what is put together is all of one kind."""
        return cls(step_of(one) for one in amounts)

    @classmethod
    def read(cls, kept: Mapping[str, int]) -> "Spread":
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
                return amount_of(step)
        return None
