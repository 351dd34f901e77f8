"""Decides the split of new rows: train, validation or test.

Rows that ask the same or nearly the same, or that have the same group, form one unit, and a unit
stays in one split. A new row joins the split of its unit. The split of a new unit follows from a
hash of the dataset's seed and its prompt; where answers are labels, it is the split that still
needs most of that label. A split is stored with the row; only a person or a fix changes it. Where
a goal trains nothing (its method is instructions or documents), new rows are for test or
validation. Pure: split_assignment.py reads the existing rows.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from finetune_app.datasets.label_sets import LabelLimits
from finetune_app.datasets.models import Split
from finetune_app.goals.models import Goal

LABELS = LabelLimits(30, 5)  # each is spread evenly over the splits


@dataclass(frozen=True)
class Shares:
    """Fractions of all rows: the target of each split, and the minimum it is topped up to."""

    test: float
    validation: float  # the rest is for training
    least_test: float
    least_validation: float
    giver: dict[Split, Split]  # from which split a split below its minimum takes rows


WITH_TRAINING = Shares(
    0.18, 0.12, 0.15, 0.10, {Split.TEST: Split.TRAIN, Split.VALIDATION: Split.TRAIN}
)
WITHOUT_TRAINING = Shares(
    0.70, 0.30, 0.60, 0.20, {Split.TEST: Split.VALIDATION, Split.VALIDATION: Split.TEST}
)
BIGGEST_GROUP = 0.05  # of the rows; larger groups of near-duplicates are not kept together


@dataclass
class NewRow:
    """A row without a split yet.

    `text` is its question (near_duplicates.question), `given` the split that the file names, `like`
    the prompt hash of the first row that asks nearly the same, `label` its answer. Rows of one
    `group` stay in one split.
    """

    prompt_hash: str
    text: str
    given: str = ""
    group: str = ""
    label: str = ""
    like: str = ""
    split: str = ""


@dataclass
class ExistingRows:
    """The existing rows: splits by prompt hash and by group (rows in the trash included), and the
    number of rows by split, and by label and split."""

    prompts: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    labels: dict[str, Counter[str]] = field(default_factory=dict)

    def split_of(self, row: NewRow) -> str:
        of_group = self.groups.get(row.group, "") if row.group else ""
        return of_group or self.prompts.get(row.prompt_hash) or self.prompts.get(row.like, "")


def hash_fraction(seed: int, key: str) -> float:
    """A hash between 0 and 1, always the same for the same seed and key."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def shares_of(goal: Goal) -> Shares:
    return WITH_TRAINING if goal.trains else WITHOUT_TRAINING


def split_for(at: float, shares: Shares = WITH_TRAINING) -> Split:
    if at < shares.test:
        return Split.TEST
    held = shares.test + shares.validation
    return Split.VALIDATION if at < held or held >= 1 else Split.TRAIN


def held_back_split(at: int) -> Split:
    """The split of the row at this index among rows that a person holds back from training:
    validation and test alternate."""
    return Split.TEST if at % 2 else Split.VALIDATION


def is_too_big(group: int, rows: int) -> bool:
    """Whether a group of near-duplicates is too large a part of `rows` to keep in one split."""
    return group > max(10, BIGGEST_GROUP * rows)


# ---- The file names no splits ----


def assign_splits(rows: list[NewRow], known: ExistingRows, *, seed: int, shares: Shares) -> None:
    """Set the split of every new row."""
    new = []
    for unit in units(rows):
        if any(known.split_of(row) for row in unit):
            _join(unit, known)
        else:
            new.append(unit)
    new.sort(key=lambda unit: hash_fraction(seed, key_of(unit)))
    if has_labels(rows, known):
        _by_label(new, rows, known, seed=seed, shares=shares)
    else:
        for unit in new:
            _set_split(unit, split_for(hash_fraction(seed, key_of(unit)), shares))
    _top_up(new, rows, known, shares)


def units(rows: list[NewRow]) -> list[list[NewRow]]:
    """Rows connected by an equal prompt, a similar prompt or a group, directly or in a chain."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        leader.setdefault(name, name)
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for row in rows:
        for name in _names(row)[1:]:
            leader[find(name)] = find(row.prompt_hash)
    found = defaultdict(list)
    for row in rows:
        found[find(row.prompt_hash)].append(row)
    return list(found.values())


def _names(row: NewRow) -> list[str]:
    names = [row.prompt_hash, row.like, f"group {row.group}" if row.group else ""]
    return [name for name in names if name]


def key_of(unit: list[NewRow]) -> str:
    """The hashed key of a unit, independent of the order of its rows."""
    groups = [row.group for row in unit if row.group]
    return f"group {min(groups)}" if groups else min(row.like or row.prompt_hash for row in unit)


def _join(unit: list[NewRow], known: ExistingRows) -> None:
    """Put a unit into its existing split. If its rows are in several splits already, a row follows
    its group, else the row that is like it."""
    first = next(split for row in unit if (split := known.split_of(row)))
    groups: dict[str, str] = {}
    for row in unit:
        if row.group and known.split_of(row):
            groups.setdefault(row.group, known.split_of(row))
    for row in unit:
        own = groups.get(row.group, first) if row.group else known.split_of(row)
        row.split = own or first


def _set_split(unit: Iterable[NewRow], where: str) -> None:
    for row in unit:
        row.split = where


# ---- Labels ----


def has_labels(rows: list[NewRow], known: ExistingRows) -> bool:
    """Whether the answers are labels: few different ones, each of them frequent."""
    every = Counter(row.label for row in rows)
    every.update({label: splits.total() for label, splits in known.labels.items()})
    del every[""]  # no answer yet
    return LABELS.accept(len(every), every.total())


def _by_label(
    new: list[list[NewRow]], rows: list[NewRow], known: ExistingRows, *, seed: int, shares: Shares
) -> None:
    """Put each unit into the split that lacks most rows of its labels. A unit without an answer
    is placed by its hash."""
    of_all = {Split.TEST: shares.test, Split.VALIDATION: shares.validation}
    of_all[Split.TRAIN] = max(1 - sum(of_all.values()), 0)
    have = {label: Counter(splits) for label, splits in known.labels.items()}
    total = Counter({label: splits.total() for label, splits in have.items()})
    total.update(row.label for row in rows)
    for row in rows:
        if row.split:  # it joined an existing unit
            have.setdefault(row.label, Counter())[row.split] += 1
    for unit in new:
        labels = Counter(row.label for row in unit if row.label)
        if not labels:
            _set_split(unit, split_for(hash_fraction(seed, key_of(unit)), shares))
            continue

        def missing(where: Split, labels: Counter[str] = labels) -> float:
            return sum(
                number * (of_all[where] * total[label] - have.get(label, Counter())[where])
                for label, number in labels.items()
            )

        chosen = max((where for where, share in of_all.items() if share), key=missing)
        _set_split(unit, chosen)
        for label, number in labels.items():
            have.setdefault(label, Counter())[chosen] += number


# ---- Small datasets ----


def _top_up(
    new: list[list[NewRow]], rows: list[NewRow], known: ExistingRows, shares: Shares
) -> None:
    """Fill test and validation up to their minimum, which a small dataset may miss by chance.

    New units move in the order of their hashes; existing rows stay in their split.
    """
    counts = Counter(known.counts)
    counts.update(row.split for row in rows)
    total = sum(counts.values())
    moved: set[int] = set()
    for wanted, share in (
        (Split.TEST, shares.least_test),
        (Split.VALIDATION, shares.least_validation),
    ):
        least = round(share * total) if total < 200 else int(share * total)
        giver = shares.giver[wanted]
        for at, unit in enumerate(new):
            if counts[wanted] >= least:
                break
            if at in moved or unit[0].split != giver:
                continue
            moved.add(at)
            if counts[wanted] + len(unit) > 2 * least:
                continue
            _set_split(unit, wanted)
            counts[wanted] += len(unit)
            counts[giver] -= len(unit)


# ---- The file names splits ----


def use_given_splits(
    rows: list[NewRow], known: ExistingRows, *, seed: int, otherwise: Split, carve: bool
) -> None:
    """Use the splits that the file names. `carve` turns some of its training rows into validation
    rows, for a file that names none."""
    share = WITH_TRAINING.validation / (1 - WITH_TRAINING.test)
    for row in rows:
        row.split = row.given or known.split_of(row) or otherwise
        if carve and row.split == Split.TRAIN and hash_fraction(seed, key_of([row])) < share:
            row.split = Split.VALIDATION
