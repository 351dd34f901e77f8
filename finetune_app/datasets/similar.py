"""Texts that are almost the same: MinHash finds candidates, exact counting confirms them.

A text is the set of its runs of 5 characters; two texts are alike as far as these sets
overlap (Jaccard). What all texts share at their start or end (a fixed instruction, say) is
left out first, else every prompt would look like every other.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

RUN = 5  # characters
LONGEST = 4_000  # characters of a text that are compared
MOST_ROWS = 20_000  # above this only equal prompts are compared
IN_BUCKET = 50  # comparisons of one text within one bucket
PRIME = (1 << 31) - 1
_random = np.random.default_rng(20_250_101)
A = _random.integers(1, PRIME, 128, dtype=np.uint64)
B = _random.integers(0, PRIME, 128, dtype=np.uint64)


@lru_cache(maxsize=500)  # some are large: 90 bytes for each character of a long text
def runs(text: str) -> frozenset[int]:
    text = text[:LONGEST]
    ends = range(max(1, len(text) - RUN + 1))
    return frozenset(zlib.crc32(text[at : at + RUN].encode("utf-8", "replace")) for at in ends)


@lru_cache(maxsize=30_000)
def signature(text: str) -> bytes:
    """128 minima of 32 bits."""
    hashes = np.fromiter(runs.__wrapped__(text), dtype=np.uint64)
    hashes %= np.uint64(PRIME)
    mixed = (A[:, None] * hashes[None, :] + B[:, None]) % np.uint64(PRIME)
    return bytes(mixed.min(axis=1).astype(np.uint32).tobytes())


def likeness(one: str, other: str) -> float:
    """Jaccard of the two sets of runs, 0 to 1."""
    a, b = runs(one), runs(other)
    return len(a & b) / len(a | b)


def without_shared_ends(texts: Sequence[str]) -> list[str]:
    """The texts without the start and the end that all of them share."""
    different = sorted(set(texts))
    if len(different) < 3:
        return list(texts)
    start = _shared(different[0], different[-1])
    backwards = sorted(text[::-1][:LONGEST] for text in different)
    end = _shared(backwards[0], backwards[-1])
    end = min(end, min(len(text) for text in different) - start)
    if start + end < 12:
        return list(texts)
    return [text[start : len(text) - end] if end > 0 else text[start:] for text in texts]


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def alike(texts: Sequence[str], least: float = 0.8) -> Iterator[tuple[int, int]]:
    """Pairs of places in `texts` whose likeness is at least `least`; equal texts are no pair."""
    first_at: dict[str, int] = {}
    for at, text in enumerate(texts):
        first_at.setdefault(text, at)
    rows = 6 if least >= 0.75 else 4
    buckets: list[dict[bytes, list[int]]] = [defaultdict(list) for _ in range(128 // rows)]
    seen: set[tuple[int, int]] = set()
    for text, at in first_at.items():
        signed = signature(text)
        for band, bucket in enumerate(buckets):
            key = signed[4 * rows * band : 4 * rows * (band + 1)]
            others = bucket[key]
            for other in others[:IN_BUCKET]:
                if (other, at) not in seen:
                    seen.add((other, at))
                    if likeness(texts[other], text) >= least:
                        yield other, at
            others.append(at)


def clusters(texts: Sequence[str], least: float = 0.8) -> list[int]:
    """For each text the place of the first one of its group (itself when it is alone)."""
    leader = list(range(len(texts)))

    def find(at: int) -> int:
        while leader[at] != at:
            leader[at] = leader[leader[at]]
            at = leader[at]
        return at

    for one, other in alike(texts, least):
        a, b = sorted((find(one), find(other)))
        leader[b] = a
    place: dict[str, int] = {}
    for at, text in enumerate(texts):  # equal texts belong together
        first = place.setdefault(text, at)
        a, b = sorted((find(first), find(at)))
        leader[b] = a
    return [find(at) for at in range(len(texts))]
