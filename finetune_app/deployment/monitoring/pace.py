"""How long requests took, in little room: counts of steps that grow by a tenth.

Two hours are put together by adding their counts, which percentiles themselves do not allow, and
what is read off is right to within 5%.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

GROWTH = 1.1
LEAST = 0.001  # seconds; what is quicker counts as this
MOST_STEP = 160  # about an hour


def step_of(seconds: float) -> int:
    return min(MOST_STEP, round(math.log(max(seconds, LEAST) / LEAST) / math.log(GROWTH)))


def seconds_of(step: int) -> float:
    return float(LEAST * GROWTH**step)


class Spread(Counter[int]):
    """How many requests took each step."""

    @classmethod
    def of(cls, seconds: Iterable[float]) -> "Spread":
        return cls(step_of(one) for one in seconds)

    @classmethod
    def read(cls, kept: Mapping[str, int]) -> "Spread":
        return cls({int(step): count for step, count in kept.items()})

    def kept(self) -> dict[str, int]:
        """As JSON keeps it."""
        return {str(step): count for step, count in sorted(self.items())}

    def at(self, share: float) -> float | None:
        """Seconds that this share of them stays below; None where there is none."""
        rank = math.ceil(share * self.total())
        passed = 0
        for step in sorted(self):
            passed += self[step]
            if passed >= rank > 0:
                return seconds_of(step)
        return None
