"""Texts that are almost the same: MinHash finds candidates, exact counting confirms them.

A text is the set of its runs of 5 characters; two texts are alike as far as these sets
overlap (Jaccard). What all texts share at their start or end (a fixed instruction, say) is
left out first, else every prompt would look like every other. Candidates are found band by band,
by sorting, so that a million texts need no more than their signatures (512 bytes each, in a
file above ON_DISK of them).
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

RUN = 5  # characters
LONGEST = 4_000  # characters of a text that are compared
MOST_ROWS = 20_000  # above this newcomers are only compared by equal prompts
IN_BUCKET = 50  # comparisons of one text within one bucket
MINIMA = 128
ON_DISK = 200_000  # texts from which signatures are kept in a file
_random = np.random.default_rng(20_250_101)
A = _random.integers(1, 1 << 63, MINIMA, dtype=np.uint64) | np.uint64(1)
B = _random.integers(0, 1 << 63, MINIMA, dtype=np.uint64)
_POWERS = np.uint64(0x100000001B3) ** np.arange(RUN, dtype=np.uint64)
_MIX = np.uint64(0xFF51AFD7ED558CCD)

Hook = Callable[[int], None]  # is told now and then how many texts are signed


@lru_cache(maxsize=500)  # some are large: 8 bytes for each character of a long text
def runs(text: str) -> np.ndarray:
    """The text's runs as numbers, sorted, each once."""
    letters = np.frombuffer(text[:LONGEST].encode("utf-32-le", "replace"), dtype=np.uint32)
    letters = letters.astype(np.uint64)
    if len(letters) < RUN:
        letters = np.concatenate([letters, np.zeros(RUN - len(letters), dtype=np.uint64)])
    windows = np.lib.stride_tricks.sliding_window_view(letters, RUN)
    hashes = (windows * _POWERS).sum(axis=1, dtype=np.uint64)
    hashes ^= hashes >> np.uint64(33)
    return np.unique(hashes * _MIX)


@lru_cache(maxsize=30_000)
def signature(text: str) -> bytes:
    """128 minima of 32 bits."""
    mixed = (A[:, None] * runs.__wrapped__(text)[None, :] + B[:, None]) >> np.uint64(32)
    return bytes(mixed.min(axis=1).astype(np.uint32).tobytes())


def likeness(one: str, other: str) -> float:
    """Jaccard of the two sets of runs, 0 to 1."""
    a, b = runs(one), runs(other)
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)


def without_shared_ends(texts: Sequence[str]) -> list[str]:
    """The texts without the start and the end that all of them share."""
    start, end = shared_ends(texts)
    return [trimmed(text, start, end) for text in texts]


def shared_ends(texts: Sequence[str]) -> tuple[int, int]:
    """How many characters at the start and at the end all texts share; (0, 0) for a few."""
    different: set[str] = set()
    first = last = first_back = last_back = ""
    shortest = 0
    for text in texts:
        back = text[::-1][:LONGEST]
        if not different:
            first = last = text
            first_back = last_back = back
            shortest = len(text)
        if len(different) < 3:
            different.add(text)
        first, last = min(first, text), max(last, text)
        first_back, last_back = min(first_back, back), max(last_back, back)
        shortest = min(shortest, len(text))
    if len(different) < 3:
        return 0, 0
    start = _shared(first, last)
    end = min(_shared(first_back, last_back), shortest - start)
    return (start, end) if start + end >= 12 else (0, 0)


def trimmed(text: str, start: int, end: int) -> str:
    return text[start : len(text) - end] if end > 0 else text[start:]


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def alike(texts: Sequence[str], least: float = 0.8) -> Iterator[tuple[int, int]]:
    """Pairs of places in `texts` whose likeness is at least `least`; equal texts are no pair."""
    return ((one, other) for one, other, _likeness in pairs(texts, least))


def pairs(
    texts: Sequence[str], least: float, signed: Hook = lambda done: None
) -> Iterator[tuple[int, int, float]]:
    """The same, with their likeness."""
    places = _first_places(texts)
    signatures = _signatures(texts, places, signed)
    rows = 6 if least >= 0.75 else 4  # 4: a pair at 0.6 is met with a chance of 99%
    bands = MINIMA // rows
    for band in range(bands):
        for earlier, later in _in_buckets(signatures[:, band * rows : (band + 1) * rows]):
            if _met_before(signatures[earlier], signatures[later], band, rows):
                continue
            if _estimate(signatures[earlier], signatures[later]) < least - 0.2:
                continue  # six deviations off: the exact count would say the same
            one, other = int(places[earlier]), int(places[later])
            found = likeness(texts[one], texts[other])
            if found >= least:
                yield one, other, found


def _first_places(texts: Sequence[str]) -> np.ndarray:
    """Where each different text stands first, in order."""
    return np.sort(np.unique(keys(texts), return_index=True)[1])


def keys(texts: Sequence[str]) -> np.ndarray:
    """A number of 64 bits for each text, the same for equal ones."""
    return np.fromiter((key(text) for text in texts), dtype=np.uint64, count=len(texts))


def key(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _signatures(texts: Sequence[str], places: np.ndarray, signed: Hook) -> Any:
    """(texts, MINIMA) in memory, or in a file that goes when it is let go."""
    shape = (len(places), MINIMA)
    if len(places) <= ON_DISK:
        signatures: Any = np.empty(shape, dtype=np.uint32)
    else:
        with tempfile.TemporaryFile() as file:  # the map holds it open
            signatures = np.memmap(file, dtype=np.uint32, mode="w+", shape=shape)
    for at, place in enumerate(places):
        signatures[at] = np.frombuffer(signature(texts[place]), dtype=np.uint32)
        if at % 1_000 == 0:
            signed(at)
    return signatures


def _in_buckets(band: Any) -> Iterator[tuple[int, int]]:
    """Pairs whose signatures are equal in this band."""
    numbers = np.zeros(len(band), dtype=np.uint64)
    for column in range(band.shape[1]):
        numbers = (numbers ^ band[:, column].astype(np.uint64)) * _MIX
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    edges = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]]))
    for start, end in pairwise(edges.tolist()):
        for place in range(start + 1, end):
            for other in range(start, min(place, start + IN_BUCKET)):
                yield int(order[other]), int(order[place])


def _met_before(one: np.ndarray, other: np.ndarray, band: int, rows: int) -> bool:
    equal = (one[: band * rows] == other[: band * rows]).reshape(band, rows)
    return bool(equal.all(axis=1).any())


def _estimate(one: np.ndarray, other: np.ndarray) -> float:
    return float((one == other).mean())


def clusters(texts: Sequence[str], least: float = 0.8) -> list[int]:
    """For each text the place of the first one of its group (itself when it is alone)."""
    return joined(texts, alike(texts, least))


def joined(texts: Sequence[str], together: Iterable[tuple[int, int]]) -> list[int]:
    """Groups of what belongs together, and of equal texts, as `clusters` tells them."""
    leader = list(range(len(texts)))

    def find(at: int) -> int:
        while leader[at] != at:
            leader[at] = leader[leader[at]]
            at = leader[at]
        return at

    for one, other in together:
        a, b = sorted((find(one), find(other)))
        leader[b] = a
    place: dict[int, int] = {}
    for at, number in enumerate(keys(texts).tolist()):  # equal texts belong together
        first = place.setdefault(number, at)
        a, b = sorted((find(first), find(at)))
        leader[b] = a
    return [find(at) for at in range(len(texts))]
