"""The split: stable, seeded, fair; the same question is never in two splits."""

from collections import Counter

import pytest

from finetune_app.checks import services as checks
from finetune_app.datasets.models import Split
from finetune_app.datasets.services import add_rows, adding
from finetune_app.datasets.splits import hash_fraction, split_for
from finetune_app.datasets.text import prompt_hash
from tests.example_rows import conversation, pair


def sides(dataset) -> dict[int, str]:
    return dict(dataset.examples.values_list("number", "split"))


def add(dataset, numbers, **more) -> None:
    rows = [{"messages": conversation(*pair(n)), **more} for n in numbers]
    add_rows(dataset=dataset, by=None, rows=rows)


def test_proportions_hold_over_many_prompts():
    counts = Counter(split_for(hash_fraction(17, f"prompt {n}")) for n in range(20_000))
    assert counts[Split.TEST] / 20_000 == pytest.approx(0.18, abs=0.01)
    assert counts[Split.VALIDATION] / 20_000 == pytest.approx(0.12, abs=0.01)


def test_another_seed_gives_another_split():
    one = [split_for(hash_fraction(17, f"prompt {n}")) for n in range(200)]
    two = [split_for(hash_fraction(18, f"prompt {n}")) for n in range(200)]
    assert one == [split_for(hash_fraction(17, f"prompt {n}")) for n in range(200)]
    assert one != two


def test_new_rows_do_not_move_old_rows(dataset):
    add(dataset, range(60))
    before = sides(dataset)
    add(dataset, range(60, 240))
    after = sides(dataset)
    assert {n: after[n] for n in before} == before


def test_split_depends_on_the_prompt_and_not_on_the_order(dataset):
    add(dataset, range(240))
    forward = dict(dataset.examples.values_list("prompt_hash", "split"))
    dataset.examples.all().delete()
    add(dataset, reversed(range(240)))
    assert dict(dataset.examples.values_list("prompt_hash", "split")) == forward


def test_same_prompt_returns_to_its_split(dataset):
    add(dataset, range(60))
    moved = dataset.examples.get(number=7)
    moved.split = Split.TEST if moved.split == Split.TRAIN else Split.TRAIN
    moved.save()
    add(dataset, [6])  # the same prompt: pair(6) is number 7
    assert dataset.examples.get(number=61).split == moved.split


def test_same_question_is_never_in_two_splits(dataset):
    add(dataset, range(100))
    rows = [
        {"messages": conversation(f" {pair(n)[0].upper()}  ", "another answer")} for n in range(100)
    ]
    add_rows(dataset=dataset, by=None, rows=rows)
    by_hash: dict[str, set[str]] = {}
    for key, split in dataset.examples.values_list("prompt_hash", "split"):
        by_hash.setdefault(key, set()).add(split)
    assert len(by_hash) == 100
    assert all(len(found) == 1 for found in by_hash.values())


def test_near_duplicates_share_a_split(dataset):
    add(dataset, range(100))
    rows = [{"messages": conversation(pair(n)[0] + " Thanks", "x")} for n in range(100)]
    add_rows(dataset=dataset, by=None, rows=rows)
    after = sides(dataset)
    assert all(after[n] == after[n + 100] for n in range(1, 101))


def test_similar_conversations_share_a_split(dataset):
    """They are compared with all their turns, as in the check for leaks."""

    def talk(first: str) -> dict:
        turns = [
            ("user", first),
            ("assistant", "Is it new?"),
            ("user", "Yes, it is."),
            ("assistant", "bell"),
        ]
        return {"messages": [{"role": role, "content": text} for role, text in turns]}

    add_rows(dataset=dataset, by=None, rows=[talk(pair(n)[0]) for n in range(60)])
    add_rows(dataset=dataset, by=None, rows=[talk(pair(n)[0] + " Thanks") for n in range(60)])
    after = sides(dataset)
    assert all(after[n] == after[n + 60] for n in range(1, 61))
    checks.run_checks(dataset)
    assert not dataset.findings.filter(check_name__in=["leakage", "practice_leakage"])


@pytest.mark.parametrize("count", [10, 20, 30, 60])
def test_small_dataset_has_test_and_validation_rows(dataset, count):
    add(dataset, range(count))
    counts = Counter(sides(dataset).values())
    assert counts[Split.TEST] >= round(0.15 * count)
    assert counts[Split.VALIDATION] >= round(0.10 * count)
    assert counts[Split.TRAIN] >= count / 2


def test_given_splits_are_used_and_validation_is_taken_from_train(dataset):
    add(dataset, range(100), split="train")
    add(dataset, range(100, 120), split="test")
    after = sides(dataset)
    assert all(after[n] == "test" for n in range(101, 121))
    counts = Counter(after.values())
    assert 5 <= counts["validation"] <= 25
    assert counts["test"] == 20


def test_given_splits_are_kept_however_many_rows_are_assigned_together(dataset, monkeypatch):
    monkeypatch.setattr(adding, "ROWS_PER_BATCH", 10)
    named = ["train"] * 40 + ["validation"] * 10
    rows = [{"messages": conversation(*pair(n)), "split": name} for n, name in enumerate(named)]
    add_rows(dataset=dataset, by=None, rows=rows)
    assert list(sides(dataset).values()) == named


def test_system_message_does_not_change_the_split():
    said = conversation("Hello", "Good morning")
    assert prompt_hash(said) == prompt_hash([{"role": "system", "content": "Be brief"}, *said])
    assert prompt_hash(said) == prompt_hash(conversation("HELLO ", "Something else"))
    assert prompt_hash(said) != prompt_hash(conversation("Hello you", "Good morning"))
