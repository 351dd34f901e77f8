"""Which examples teach, which guide the training, which are sealed for the test.

The side of an example follows from a hash of the dataset's seed and its prompt, so it never
moves when rows come or go, and the same question is never on two sides. Once given, it is
kept on the row; only a person or a fix moves it. Where a goal trains nothing (its method is
instructions or documents), newcomers are for the test or for practice.
"""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass

from finetune_app.datasets import similar, tally
from finetune_app.datasets.models import Dataset, Split
from finetune_app.datasets.text import normalise
from finetune_app.goals.models import Goal


@dataclass(frozen=True)
class Shares:
    """Of all rows. Chance may not leave less than the least, as far as new rows allow."""

    test: float
    validation: float  # the rest is for learning
    least_test: float
    least_validation: float
    giver: dict[Split, Split]  # the side that a side which got too little takes from


LEARNING = Shares(0.18, 0.12, 0.15, 0.10, {
    Split.TEST: Split.TRAIN, Split.VALIDATION: Split.TRAIN})
TESTING = Shares(0.70, 0.30, 0.60, 0.20, {
    Split.TEST: Split.VALIDATION, Split.VALIDATION: Split.TEST})
BIGGEST_GROUP = 0.05  # of the rows; larger groups of look-alikes are not kept together


@dataclass
class Newcomer:
    """A row on its way in. `text` is its normalised prompt, `given` the file's own split; rows of
    one `group` stand on one side."""

    prompt_hash: str
    text: str
    given: str = ""
    group: str = ""
    split: str = ""


def place(seed: int, key: str) -> float:
    """Between 0 and 1, always the same for the same seed and prompt."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def shares_of(goal: Goal) -> Shares:
    return LEARNING if goal.trains else TESTING


def side(at: float, shares: Shares = LEARNING) -> Split:
    if at < shares.test:
        return Split.TEST
    held = shares.test + shares.validation
    return Split.VALIDATION if at < held or held >= 1 else Split.TRAIN


def assign(dataset: Dataset, rows: list[Newcomer], *, compare: bool = True) -> None:
    """Give every newcomer its split. `compare` keeps look-alikes on one side."""
    known = _known(dataset, "prompt_hash", {row.prompt_hash for row in rows})
    shares = shares_of(dataset.goal)
    if any(row.given for row in rows):
        _as_given(dataset, rows, known, Split.TRAIN if dataset.goal.trains else Split.TEST)
        return
    keys = _keys(dataset, rows, known, compare)
    if any(row.group for row in rows):
        groups = _known(dataset, "group", {row.group for row in rows} - {""})
        known |= {_group_key(group): split for group, split in groups.items()}
        pairs = zip(rows, keys, strict=True)
        keys = [_group_key(row.group) if row.group else key for row, key in pairs]
    for row, key in zip(rows, keys, strict=True):
        stands = known.get(row.prompt_hash) or known.get(key)
        row.split = stands or side(place(dataset.seed, key), shares)
    _top_up(dataset, rows, keys, known, shares)


def _known(dataset: Dataset, column: str, values: set[str]) -> dict[str, str]:
    """Where prompts (or groups) that are here already, also in the trash, stand."""
    found: dict[str, str] = {}
    every = sorted(values)
    for start in range(0, len(every), 500):
        some = dataset.examples.filter(**{f"{column}__in": every[start : start + 500]})
        found.update(some.order_by("-number").values_list(column, "split"))
    return found


def _group_key(group: str) -> str:
    return f"group {group}"


def _as_given(
    dataset: Dataset, rows: list[Newcomer], known: dict[str, str], otherwise: Split
) -> None:
    """The file decides. Where it names no practice part, some of its learning rows become it."""
    given = {row.given for row in rows}
    carve = Split.VALIDATION not in given and not dataset.examples.kept().filter(
        split=Split.VALIDATION
    ).exists()
    share = LEARNING.validation / (1 - LEARNING.test)
    for row in rows:
        row.split = row.given or known.get(row.prompt_hash) or otherwise
        if carve and row.split == Split.TRAIN and place(dataset.seed, row.prompt_hash) < share:
            row.split = Split.VALIDATION


def _keys(
    dataset: Dataset, rows: list[Newcomer], known: dict[str, str], compare: bool
) -> list[str]:
    """The prompt hash that decides for each row: its own, or that of a look-alike."""
    own = [row.prompt_hash for row in rows]
    if not compare:
        return own
    here = _here(dataset)
    if len(here) + len(rows) > similar.MOST_ROWS:
        return own
    texts = _compared(here, [row.text for row in rows])
    leaders = similar.clusters(texts)
    members = defaultdict(list)
    for at, leader in enumerate(leaders):
        members[leader].append(at)
    hashes = [one for one, _, _ in here] + own
    for one, _, split in here:
        known.setdefault(one, split)
    keys = []
    for at, own_hash in enumerate(own, len(here)):
        group = members[leaders[at]]
        keys.append(own_hash if is_too_big(len(group), len(texts)) else hashes[group[0]])
    return keys


Here = list[tuple[str, str, str]]  # prompt hash, prompt, split


def _here(dataset: Dataset) -> Here:
    kept = dataset.examples.kept().values_list("prompt_hash", "prompt", "split")
    return list(kept[: similar.MOST_ROWS])


def _compared(here: Here, new: list[str]) -> list[str]:
    """The texts as they are compared: what was here first, then the new ones."""
    return similar.without_shared_ends([normalise(prompt) for _, prompt, _ in here] + new)


def is_too_big(group: int, rows: int) -> bool:
    """Whether so many of `rows` are look-alikes that one side cannot hold them all."""
    return group > max(10, BIGGEST_GROUP * rows)


def _top_up(
    dataset: Dataset, rows: list[Newcomer], keys: list[str], known: dict[str, str], shares: Shares
) -> None:
    """A small set may by chance get hardly any test prompts: then the next in the order of
    their hashes go there too. Rows that were here before stay where they are."""
    counts = Counter[str]()
    for (_status, split, gone), number in tally.kinds(dataset).items():
        counts[split] += 0 if gone else number
    counts.update(row.split for row in rows)
    total = sum(counts.values())
    groups = defaultdict(list)
    for row, key in zip(rows, keys, strict=True):
        if key not in known and row.prompt_hash not in known:
            groups[key].append(row)
    order = sorted(groups, key=lambda key: place(dataset.seed, key))
    seen: set[str] = set()
    for wanted, share in (
        (Split.TEST, shares.least_test), (Split.VALIDATION, shares.least_validation)
    ):
        least = round(share * total) if total < 200 else int(share * total)
        giver = shares.giver[wanted]
        for key in order:
            group = groups[key]
            if counts[wanted] >= least:
                break
            if key in seen or group[0].split != giver:
                continue
            seen.add(key)
            if counts[wanted] + len(group) > 2 * least:
                continue
            for row in group:
                row.split = wanted
            counts[wanted] += len(group)
            counts[giver] -= len(group)
