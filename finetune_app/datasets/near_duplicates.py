"""Near-duplicate detection: MinHash with LSH proposes pairs, exact Jaccard similarity confirms.

A text is represented by the set of its 5-character shingles. The start and end that all texts
share (a fixed instruction, say) are removed first, else every prompt would resemble every other.
Candidate pairs are found band by band, by sorting, so a million texts only need their signatures
(512 bytes each, in a file above ON_DISK texts).
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from finetune_app.core.chat_messages import Message
from finetune_app.datasets.text import asked

SAME_SIMILARITY = 0.8  # Jaccard similarity from which two texts count as the same
SHINGLE = 5  # characters
LONGEST = 4_000  # characters of a text that are compared
MOST_ROWS = 20_000  # above this, new rows are only compared by equal prompts
IN_BUCKET = 50  # comparisons of one text within one bucket
PAIR_BATCH = 20_000  # pairs whose signatures are compared together
HASHES = 128  # minimum hashes of a signature
ON_DISK = 200_000  # texts from which signatures are kept in a file
_random = np.random.default_rng(20_250_101)
A = _random.integers(1, 1 << 63, HASHES, dtype=np.uint64) | np.uint64(1)
B = _random.integers(0, 1 << 63, HASHES, dtype=np.uint64)
_POWERS = np.uint64(0x100000001B3) ** np.arange(SHINGLE, dtype=np.uint64)
_MIX = np.uint64(0xFF51AFD7ED558CCD)

MOST_KNOWN = 200_000
_known: dict[tuple[int, int], float] = {}  # cached similarity of pairs: an edit changes few

Hook = Callable[[int], None]  # called now and then with the number of texts signed


@lru_cache(maxsize=500)  # some are large: 8 bytes for each character of a long text
def shingles(text: str) -> np.ndarray:
    """The hashes of the text's distinct shingles, sorted."""
    letters = np.frombuffer(text[:LONGEST].encode("utf-32-le", "replace"), dtype=np.uint32)
    letters = letters.astype(np.uint64)
    if len(letters) < SHINGLE:
        letters = np.concatenate([letters, np.zeros(SHINGLE - len(letters), dtype=np.uint64)])
    windows = np.lib.stride_tricks.sliding_window_view(letters, SHINGLE)
    hashes = (windows * _POWERS).sum(axis=1, dtype=np.uint64)
    hashes ^= hashes >> np.uint64(33)
    return np.unique(hashes * _MIX)


@lru_cache(maxsize=30_000)
def signature(text: str) -> bytes:
    """The MinHash signature: HASHES minima of 32 bits."""
    mixed = (A[:, None] * shingles.__wrapped__(text)[None, :] + B[:, None]) >> np.uint64(32)
    return bytes(mixed.min(axis=1).astype(np.uint32).tobytes())


def jaccard(one: str, other: str) -> float:
    """The Jaccard similarity of the two sets of shingles, 0 to 1."""
    a, b = shingles(one), shingles(other)
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)


def question(messages: list[Message]) -> str:
    """The text of a conversation that is compared: all turns before the answer.

    Of a very long conversation only the end is used. Splits are assigned and leaks are found by it.
    """
    turns = [text for _role, text in asked(messages)]
    return turns[0][:LONGEST] if len(turns) == 1 else "\n".join(turns)[-LONGEST:]


def without_shared_ends(texts: Sequence[str]) -> list[str]:
    """The texts without the start and end that all of them share."""
    start, end = shared_ends(texts)
    return [trim(text, start, end) for text in texts]


def shared_ends(texts: Sequence[str]) -> tuple[int, int]:
    """How many characters all texts share at the start and at the end; (0, 0) if that is few."""
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


def trim(text: str, start: int, end: int) -> str:
    return text[start : len(text) - end] if end > 0 else text[start:]


def _shared(one: str, other: str) -> int:
    """The length of the common prefix."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def similar_pairs(
    texts: Sequence[str], least: float = SAME_SIMILARITY
) -> Iterator[tuple[int, int]]:
    """Index pairs of texts whose similarity is at least `least`. Equal texts form no pair."""
    return ((one, other) for one, other, _jaccard in scored_pairs(texts, least))


def scored_pairs(
    texts: Sequence[str], least: float, signed: Hook = lambda done: None
) -> Iterator[tuple[int, int, float]]:
    """Like `similar_pairs`, with the similarity of each pair."""
    names = keys(texts)
    places = np.sort(np.unique(names, return_index=True)[1])  # the first index of each text
    signatures = _signatures(texts, places, signed)
    known = _known if len(places) <= MOST_ROWS else {}
    if len(known) > MOST_KNOWN:
        known.clear()
    rows = 6 if least >= 0.75 else 4  # with 4, a pair at 0.6 is found with a probability of 99%
    for band in range(HASHES // rows):
        for earlier, later in _in_buckets(signatures[:, band * rows : (band + 1) * rows]):
            worth = _to_confirm(signatures[earlier], signatures[later], band, rows, least)
            for one, other in zip(places[earlier[worth]], places[later[worth]], strict=True):
                pair = int(names[one]), int(names[other])
                found = known.get(pair, -1.0)
                if found < 0:
                    found = jaccard(texts[one], texts[other])
                    if known is _known:
                        known[pair] = found
                if found >= least:
                    yield int(one), int(other), found


def _to_confirm(
    one: np.ndarray, other: np.ndarray, band: int, rows: int, least: float
) -> np.ndarray:
    """A mask of the pairs of signatures to confirm: they matched in no earlier band, and their
    estimated similarity is within three standard deviations of `least`."""
    equal = one == other
    before = equal[:, : band * rows].reshape(len(equal), band, rows).all(axis=2).any(axis=1)
    return np.asarray(~before & (equal.mean(axis=1) >= least - 0.13))


def keys(texts: Sequence[str]) -> np.ndarray:
    """A 64-bit hash of each text."""
    return np.fromiter((key(text) for text in texts), dtype=np.uint64, count=len(texts))


def key(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _signatures(texts: Sequence[str], places: np.ndarray, signed: Hook) -> Any:
    """Signatures as a `(texts, HASHES)` array, in memory or in a temporary file."""
    shape = (len(places), HASHES)
    if len(places) <= ON_DISK:
        signatures: Any = np.empty(shape, dtype=np.uint32)
    else:
        with tempfile.TemporaryFile() as file:  # the memory map keeps it open
            signatures = np.memmap(file, dtype=np.uint32, mode="w+", shape=shape)
    for at, place in enumerate(places):
        signatures[at] = np.frombuffer(signature(texts[place]), dtype=np.uint32)
        if at % 1_000 == 0:
            signed(at)
    return signatures


def _in_buckets(band: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Index pairs whose signatures are equal in this band, PAIR_BATCH at a time."""
    numbers = np.zeros(len(band), dtype=np.uint64)
    for column in range(band.shape[1]):
        numbers = (numbers ^ band[:, column].astype(np.uint64)) * _MIX
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    edges = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]]))
    many = np.flatnonzero(np.diff(edges) > 1)
    earlier: list[int] = []
    later: list[int] = []
    for start, end in zip(edges[many].tolist(), edges[many + 1].tolist(), strict=True):
        for place in range(start + 1, end):
            others = range(start, min(place, start + IN_BUCKET))
            earlier.extend(others)
            later.extend([place] * len(others))
        if len(earlier) >= PAIR_BATCH:
            yield order[earlier], order[later]
            earlier, later = [], []
    if earlier:
        yield order[earlier], order[later]


def group_leaders(texts: Sequence[str], least: float = SAME_SIMILARITY) -> list[int]:
    """For each text, the index of the first text of its group (its own if it is alone)."""
    return merge_pairs(texts, similar_pairs(texts, least))


def merge_pairs(texts: Sequence[str], together: Iterable[tuple[int, int]]) -> list[int]:
    """Groups of the given pairs and of equal texts, in the form that `group_leaders` returns."""
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
