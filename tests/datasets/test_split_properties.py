"""Properties of any split: groups stay whole, splits are stable, labels get their shares."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_app.datasets.models import Split
from finetune_app.datasets.services import add_rows
from finetune_app.datasets.splits import (
    WITH_TRAINING,
    WITHOUT_TRAINING,
    ExistingRows,
    NewRow,
    assign_splits,
    units,
)
from tests.example_rows import conversation

SOME_ROWS = st.lists(
    st.builds(
        NewRow,
        prompt_hash=st.sampled_from([f"p{n}" for n in range(40)]),
        text=st.just(""),
        group=st.sampled_from(["", "", "", *(f"g{n}" for n in range(6))]),
        like=st.sampled_from(["", "", *(f"p{n}" for n in range(6))]),
        label=st.sampled_from(["", "a", "b", "c"]),
    ),
    max_size=60,
)
SHARES = st.sampled_from([WITH_TRAINING, WITHOUT_TRAINING])


def copies(rows: list[NewRow]) -> list[NewRow]:
    return [NewRow(r.prompt_hash, r.text, group=r.group, like=r.like, label=r.label) for r in rows]


def known_from(rows: list[NewRow]) -> ExistingRows:
    """The existing rows that a later batch finds, as split_assignment.py reads them."""
    known = ExistingRows(counts=Counter(row.split for row in rows))
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        known.prompts.setdefault(row.prompt_hash, row.split)
        if row.group:
            known.groups.setdefault(row.group, row.split)
        if row.label:
            labels[row.label][row.split] += 1
    known.labels = dict(labels)
    return known


@given(SOME_ROWS, SOME_ROWS, SHARES)
@settings(max_examples=150, deadline=None)
def test_group_is_never_in_two_splits_and_no_row_moves(first, second, shares):
    assign_splits(first, ExistingRows(), seed=17, shares=shares)
    stood = [row.split for row in first]
    assign_splits(second, known_from(first), seed=17, shares=shares)
    assert [row.split for row in first] == stood
    sides: dict[str, set[str]] = defaultdict(set)
    for row in first + second:
        assert row.split in Split.values
        if row.group:
            sides[row.group].add(row.split)
    assert all(len(found) == 1 for found in sides.values())


@given(SOME_ROWS, SHARES, st.randoms())
@settings(max_examples=80, deadline=None)
def test_splits_do_not_depend_on_the_order_of_rows(rows, shares, chance):
    again = copies(rows)
    chance.shuffle(again)
    assign_splits(rows, ExistingRows(), seed=17, shares=shares)
    assign_splits(again, ExistingRows(), seed=17, shares=shares)
    for unit in units(rows):
        assert len({row.split for row in unit}) == 1
    one = {row.prompt_hash: row.split for row in rows}
    assert one == {row.prompt_hash: row.split for row in again}


@given(st.lists(st.sampled_from("abcdef"), min_size=30, max_size=300), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_every_label_gets_its_share(labels, seed):
    """For single rows, up to two rows more or less. A split below its minimum is filled with rows
    of any label."""
    rows = [NewRow(f"p{n}", "", label=label) for n, label in enumerate(labels)]
    assign_splits(rows, ExistingRows(), seed=seed, shares=WITH_TRAINING)
    if len(set(labels)) < 2 or 5 * len(set(labels)) > len(labels):
        return
    lifted = sum(
        max(0, round(least * len(rows)) - sum(int(share * n) - 1 for n in Counter(labels).values()))
        for share, least in ((0.18, 0.15), (0.12, 0.10))
    )
    for label, count in Counter(labels).items():
        found = Counter(row.split for row in rows if row.label == label)
        assert abs(found[Split.TEST] - 0.18 * count) < 2 + lifted
        assert abs(found[Split.VALIDATION] - 0.12 * count) < 2 + lifted


def test_rare_labels_are_in_the_test_split():
    """With 200 rows in ten labels, chance alone would often miss one."""
    for seed in range(20):
        rows = [NewRow(f"p{n}", "", label=str(n % 10)) for n in range(200)]
        assign_splits(rows, ExistingRows(), seed=seed, shares=WITH_TRAINING)
        for side, least in ((Split.TEST, 3), (Split.VALIDATION, 2)):
            found = Counter(row.label for row in rows if row.split == side)
            assert min(found[str(label)] for label in range(10)) >= least


def test_free_answers_are_split_by_hash():
    rows = [NewRow(f"p{n}", "", label=f"answer {n}") for n in range(400)]
    plain = [NewRow(f"p{n}", "") for n in range(400)]
    for some in (rows, plain):
        assign_splits(some, ExistingRows(), seed=17, shares=WITH_TRAINING)
    assert [row.split for row in rows] == [row.split for row in plain]


@pytest.mark.parametrize("together", [True, False])
def test_group_stays_together_in_the_database(dataset, together):
    rows = [
        {"messages": conversation(f"{topic} number {n * 7919}?", "yes"), "group": f"thread {n % 9}"}
        for n, topic in enumerate(["Saddle", "Brake", "Wheel", "Lamp", "Bell"] * 18)
    ]
    for some in [rows] if together else [rows[:40], rows[40:41], rows[41:]]:
        add_rows(dataset=dataset, by=None, rows=some)
    sides: dict[str, set[str]] = defaultdict(set)
    for group, split in dataset.examples.values_list("group", "split"):
        sides[group].add(split)
    assert all(len(found) == 1 for found in sides.values())
    assert len({side for found in sides.values() for side in found}) >= 2


def test_labels_get_their_shares_over_several_files(dataset):
    for part in range(4):
        add_rows(
            dataset=dataset,
            by=None,
            rows=[
                {"messages": conversation(f"{chr(97 + n % 26) * 4} {part * 977 + n * 7919}", label)}
                for n, label in enumerate(["refund", "repair", "refund", "other"] * 10)
            ],
        )
    for label, count in (("refund", 80), ("repair", 40), ("other", 40)):
        found = Counter(dataset.examples.filter(answer=label).values_list("split", flat=True))
        assert abs(found["test"] - 0.18 * count) <= 3
        assert abs(found["validation"] - 0.12 * count) <= 3
