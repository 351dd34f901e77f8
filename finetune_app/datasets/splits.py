"""Which examples teach, which guide the training, which are sealed for the test.

Rows that ask the same or nearly the same, or come from one source, are one unit: a unit stands on
one side. A newcomer joins the side where its unit stands already; a new unit's side follows from
a hash of the dataset's seed and its prompt, or, where answers are one of a few labels, goes where
that label has the least of its share. Once given, a side is kept on the row; only a person or a
fix moves it. Where a goal trains nothing (its method is instructions or documents), newcomers are
for the test or for practice. Pure: split_assignment.py reads what there is.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from finetune_app.datasets.models import Split
from finetune_app.goals.models import Goal


@dataclass(frozen=True)
class Shares:
    """Of all rows. Chance may not leave less than the least, as far as new rows allow."""

    test: float
    validation: float  # the rest is for learning
    least_test: float
    least_validation: float
    giver: dict[Split, Split]  # the side that a side which got too little takes from


LEARNING = Shares(0.18, 0.12, 0.15, 0.10, {Split.TEST: Split.TRAIN, Split.VALIDATION: Split.TRAIN})
TESTING = Shares(
    0.70, 0.30, 0.60, 0.20, {Split.TEST: Split.VALIDATION, Split.VALIDATION: Split.TEST}
)
BIGGEST_GROUP = 0.05  # of the rows; larger groups of look-alikes are not kept together
FEW = 30  # different answers, at most, that are labels
OFTEN = 5  # rows that a label has on average, at least


@dataclass
class NewRow:
    """A row on its way in. `text` is what it asks (similar.question), `given` the file's own
    split; rows of one `group` stand on one side. `like` is the prompt hash of the first row that
    asks nearly the same, `label` its answer."""

    prompt_hash: str
    text: str
    given: str = ""
    group: str = ""
    label: str = ""
    like: str = ""
    split: str = ""


@dataclass
class ExistingRows:
    """What stands already: sides by prompt hash and by group (of rows in the trash as well), rows
    by side, and by label and side."""

    prompts: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    labels: dict[str, Counter[str]] = field(default_factory=dict)

    def side_of(self, row: NewRow) -> str:
        of_group = self.groups.get(row.group, "") if row.group else ""
        return of_group or self.prompts.get(row.prompt_hash) or self.prompts.get(row.like, "")


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


def held_back(at: int) -> Split:
    """The side of the row at this place among rows that somebody keeps from learning: every second
    guides the training, the others are sealed."""
    return Split.TEST if at % 2 else Split.VALIDATION


def is_too_big(group: int, rows: int) -> bool:
    """Whether so many of `rows` are look-alikes that one side cannot hold them all."""
    return group > max(10, BIGGEST_GROUP * rows)


# ---- Where the file says nothing ----


def decide(rows: list[NewRow], known: ExistingRows, *, seed: int, shares: Shares) -> None:
    """Give every newcomer its side."""
    new = []
    for unit in units(rows):
        if any(known.side_of(row) for row in unit):
            _join(unit, known)
        else:
            new.append(unit)
    new.sort(key=lambda unit: place(seed, key_of(unit)))
    if has_labels(rows, known):
        _by_label(new, rows, known, seed=seed, shares=shares)
    else:
        for unit in new:
            _put(unit, side(place(seed, key_of(unit)), shares))
    _top_up(new, rows, known, shares)


def units(rows: list[NewRow]) -> list[list[NewRow]]:
    """Rows that belong together: by prompt, by likeness, by group, and by all of these in a
    chain."""
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
    """What decides where a unit goes: the same whatever order its rows come in."""
    groups = [row.group for row in unit if row.group]
    return f"group {min(groups)}" if groups else min(row.like or row.prompt_hash for row in unit)


def _join(unit: list[NewRow], known: ExistingRows) -> None:
    """Where the unit stands. If it stands on several sides already, each group keeps together
    first, then each row to its like."""
    first = next(stands for row in unit if (stands := known.side_of(row)))
    groups: dict[str, str] = {}
    for row in unit:
        if row.group and known.side_of(row):
            groups.setdefault(row.group, known.side_of(row))
    for row in unit:
        own = groups.get(row.group, first) if row.group else known.side_of(row)
        row.split = own or first


def _put(unit: Iterable[NewRow], where: str) -> None:
    for row in unit:
        row.split = where


# ---- Labels ----


def has_labels(rows: list[NewRow], known: ExistingRows) -> bool:
    """Whether the answers are labels: few different ones, each of them often."""
    every = Counter(row.label for row in rows)
    every.update({label: sides.total() for label, sides in known.labels.items()})
    del every[""]  # no answer yet
    return 1 < len(every) <= FEW and OFTEN * len(every) <= every.total()


def _by_label(
    new: list[list[NewRow]], rows: list[NewRow], known: ExistingRows, *, seed: int, shares: Shares
) -> None:
    """Each unit goes where its labels have the most of their shares still to come; one without
    an answer goes by its hash."""
    of_all = {Split.TEST: shares.test, Split.VALIDATION: shares.validation}
    of_all[Split.TRAIN] = max(1 - sum(of_all.values()), 0)
    have = {label: Counter(sides) for label, sides in known.labels.items()}
    total = Counter({label: sides.total() for label, sides in have.items()})
    total.update(row.label for row in rows)
    for row in rows:
        if row.split:  # it has joined its like
            have.setdefault(row.label, Counter())[row.split] += 1
    for unit in new:
        labels = Counter(row.label for row in unit if row.label)
        if not labels:
            _put(unit, side(place(seed, key_of(unit)), shares))
            continue

        def to_come(where: Split, labels: Counter[str] = labels) -> float:
            return sum(
                number * (of_all[where] * total[label] - have.get(label, Counter())[where])
                for label, number in labels.items()
            )

        chosen = max((where for where, share in of_all.items() if share), key=to_come)
        _put(unit, chosen)
        for label, number in labels.items():
            have.setdefault(label, Counter())[chosen] += number


# ---- Small sets ----


def _top_up(
    new: list[list[NewRow]], rows: list[NewRow], known: ExistingRows, shares: Shares
) -> None:
    """A small set may by chance get hardly any test prompts: then the next in the order of
    their hashes go there too. Rows that were here before stay where they are."""
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
            _put(unit, wanted)
            counts[wanted] += len(unit)
            counts[giver] -= len(unit)


# ---- Where the file says it ----


def as_given(
    rows: list[NewRow], known: ExistingRows, *, seed: int, otherwise: Split, carve: bool
) -> None:
    """The file decides. `carve`: some of its learning rows become the practice part, which it
    does not name."""
    share = LEARNING.validation / (1 - LEARNING.test)
    for row in rows:
        row.split = row.given or known.side_of(row) or otherwise
        if carve and row.split == Split.TRAIN and place(seed, key_of([row])) < share:
            row.split = Split.VALIDATION
