"""Histograms with fixed buckets, stored as JSON and merged by adding counts.

Percentiles of two hours cannot be averaged, but bucket counts can be added, so a percentile over
any range is exact to half a bucket (5%). docs/decisions/0027 says why this is not HdrHistogram.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

GROWTH = 1.1  # each bucket is a tenth wider than the one below
_LOG_GROWTH = math.log(GROWTH)
MIN_SECONDS = 0.001  # shorter durations count as this
MAX_BUCKET = 160  # about an hour


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of the sorted values that `share` (0 to 1) of them do not exceed."""
    return values[max(1, math.ceil(share * len(values))) - 1]


class Histogram(Counter[int]):
    """Counts of durations in seconds by bucket; buckets grow geometrically by GROWTH."""

    @staticmethod
    def bucket_of(value: float) -> int:
        steps = math.log(max(value, MIN_SECONDS) / MIN_SECONDS) / _LOG_GROWTH
        return min(MAX_BUCKET, round(steps))

    @staticmethod
    def value_of(bucket: int) -> float:
        """The centre of a bucket, in seconds."""
        return float(MIN_SECONDS * GROWTH**bucket)

    def count(self, value: float) -> None:
        self[self.bucket_of(value)] += 1

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        return cls(cls.bucket_of(value) for value in values)

    @classmethod
    def from_json(cls, counts: Mapping[str, int]) -> Self:
        return cls({int(bucket): count for bucket, count in counts.items()})

    def to_json(self) -> dict[str, int]:
        return {str(bucket): count for bucket, count in sorted(self.items())}

    def quantile(self, share: float) -> float | None:
        """The value that `share` (0 to 1) of all values do not exceed; None if it is empty."""
        rank = math.ceil(share * self.total())
        seen = 0
        for bucket in sorted(self):
            seen += self[bucket]
            if seen >= rank > 0:
                return self.value_of(bucket)
        return None


class LengthHistogram(Histogram):
    """Counts of answer lengths in tokens: exact below 100, above that to two digits."""

    @staticmethod
    def bucket_of(value: float) -> int:
        tokens = round(value)
        width: int = 10 ** max(0, len(str(tokens)) - 2)
        return round(tokens / width) * width

    @staticmethod
    def value_of(bucket: int) -> float:
        return float(bucket)
