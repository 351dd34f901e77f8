"""Assigns splits to new rows: reads the existing rows, from which splits.py decides."""

from collections import Counter, defaultdict
from collections.abc import Collection

from django.db.models import Count

from finetune_app.datasets import near_duplicates, splits
from finetune_app.datasets.models import Dataset, ExampleQuerySet, Split
from finetune_app.datasets.splits import LABELS, ExistingRows, NewRow
from finetune_app.datasets.text import normalise

LONGEST_LABEL = 200  # characters that are compared


def assign(
    dataset: Dataset, rows: list[NewRow], *, named: Collection[str] = (), compare: bool = True
) -> None:
    """Set the split of every new row.

    `named` are the splits that the whole file names, where these rows are only a part of it.
    `compare` keeps near-duplicates in one split.
    """
    given = {*named, *(row.given for row in rows)} - {""}
    known = ExistingRows(
        prompts=_existing_splits(dataset, "prompt_hash", {row.prompt_hash for row in rows}),
        groups=_existing_splits(dataset, "group", {row.group for row in rows} - {""}),
    )
    if given:
        splits.use_given_splits(
            rows,
            known,
            seed=dataset.seed,
            otherwise=Split.TRAIN if dataset.goal.trains else Split.TEST,
            carve=Split.VALIDATION not in given
            and not _kept(dataset).filter(split=Split.VALIDATION).exists(),
        )
        return
    by_split = _kept(dataset).values_list("split").annotate(Count("pk"))
    known.counts.update(dict(by_split))
    # More rows get fair shares by chance alone.
    if known.counts.total() + len(rows) <= near_duplicates.MOST_ROWS:
        if compare:
            _find_alike(dataset, rows, known)
        known.labels = _labels(dataset, rows)
    splits.assign_splits(rows, known, seed=dataset.seed, shares=splits.shares_of(dataset.goal))


def _kept(dataset: Dataset) -> ExampleQuerySet:
    return dataset.examples.kept().order_by()


def _existing_splits(dataset: Dataset, column: str, values: set[str]) -> dict[str, str]:
    """The splits of existing prompt hashes (or groups), rows in the trash included."""
    found: dict[str, str] = {}
    every = sorted(values)
    for start in range(0, len(every), 500):
        some = dataset.examples.filter(**{f"{column}__in": every[start : start + 500]})
        found.update(some.order_by("-number").values_list(column, "split"))
    return found


def _find_alike(dataset: Dataset, rows: list[NewRow], known: ExistingRows) -> None:
    """Set `like` of each row: the prompt hash of the first row that asks nearly the same."""
    here = list(dataset.examples.kept().values_list("prompt_hash", "messages", "split"))
    texts = near_duplicates.without_shared_ends(
        [near_duplicates.question(prompt) for _hash, prompt, _split in here]
        + [row.text for row in rows]
    )
    leaders = near_duplicates.group_leaders(texts)
    sizes = Counter(leaders)
    hashes = [one for one, _prompt, _split in here] + [row.prompt_hash for row in rows]
    for one, _prompt, split in here:
        known.prompts.setdefault(one, split)
    for row, leader in zip(rows, leaders[len(here) :], strict=True):
        if not splits.is_too_big(sizes[leader], len(texts)):
            row.like = hashes[leader]


def _labels(dataset: Dataset, rows: list[NewRow]) -> dict[str, Counter[str]]:
    """The number of rows of each answer and split; empty if answers cannot be labels."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    if len({row.label for row in rows}) > LABELS.most + 1:
        return {}
    answered = _kept(dataset).exclude(answer="")
    counted = answered.values_list("answer", "split").annotate(Count("pk"))
    for answer, split, number in counted[: 3 * LABELS.most + 1]:
        found[label_of(answer)][split] += number
    return dict(found)


def label_of(answer: str) -> str:
    """The answer as a label; "" without an answer."""
    return normalise(answer)[:LONGEST_LABEL]
