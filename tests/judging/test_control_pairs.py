"""Control pairs have a known right side, and differ in the one thing that they test."""

import pytest

from finetune_app.judging.controls import CandidateAnswer, TestRow, answer_pairs, control_pairs
from finetune_app.judging.job_messages import CONTROL_KINDS
from finetune_app.judging.limits import MAX_CONTROLS, MIN_CONTROLS

LABELS = ("card_lost", "top_up_failed", "refund", "exchange_rate", "pin")


def rows(count: int = 60, labels=LABELS, passed: bool | None = True) -> list[TestRow]:
    return [
        TestRow(
            index=n,
            prompt=f"Message {n}",
            wanted=labels[n % len(labels)],
            base=CandidateAnswer(f"I am sorry to hear that. {n}", passed and False),
            ours=CandidateAnswer(f"It is {labels[n % len(labels)]}", passed),
        )
        for n in range(count)
    ]


def of_kind(kind: str, found: list) -> list:
    return [pair for pair in found if pair["kind"] == kind]


@pytest.fixture
def found() -> list:
    return control_pairs(rows(), seed=1)


def test_each_kind_has_its_pairs_and_no_prompt_twice(found):
    for kind in CONTROL_KINDS:
        indexes = [pair["index"] for pair in of_kind(kind, found)]
        assert len(indexes) == len(set(indexes)) == MAX_CONTROLS, kind


def test_the_wanted_answer_is_always_right_and_the_other_never_the_same(found):
    by_index = {row.index: row for row in rows()}
    for pair in found:
        assert pair["first"] == by_index[pair["index"]].wanted
        assert pair["second"].casefold() != pair["first"].casefold()


def test_the_wrong_answer_is_longer_in_one_kind_and_shorter_in_the_other(found):
    for pair in of_kind("longer", found):
        assert len(pair["second"]) > len(pair["first"])
    for pair in of_kind("shorter", found):
        assert len(pair["second"]) < len(pair["first"])
    for pair in of_kind("longer", found) + of_kind("shorter", found):
        assert set(pair["second"].split("\n")) <= set(LABELS) - {pair["first"]}


def test_padding_says_no_more(found):
    padded = of_kind("padded", found)
    assert all(pair["first"] in pair["second"] for pair in padded)
    twice = [pair for pair in padded if pair["second"].count(pair["first"]) == 2]
    polite = [pair for pair in padded if "Thank you" in pair["second"]]
    assert len(twice) == len(polite) == MAX_CONTROLS // 2


def test_wrong_answers_of_a_model_are_those_that_the_measure_marked(found):
    assert all(pair["second"].startswith("I am sorry") for pair in of_kind("base_style", found))


def test_a_model_that_is_always_right_is_wrong_about_other_prompts(found):
    for pair in of_kind("ours_style", found):
        assert pair["second"].startswith("It is ")
        assert pair["first"] not in pair["second"]


def test_where_no_measure_tells_answers_to_other_prompts_are_wrong():
    found = control_pairs(rows(passed=None), seed=1)
    own = {row.index: row.base.text for row in rows()}
    pairs = of_kind("base_style", found)
    assert len(pairs) == MAX_CONTROLS
    assert all(pair["second"] != own[pair["index"]] for pair in pairs)


def test_answers_of_one_length_leave_pairs_of_the_same_length():
    """Longer wrong answers are then made by saying a wrong one again."""
    found = control_pairs(rows(labels=("yes", "nay", "may")), seed=1)
    assert len(of_kind("shorter", found)) == len(of_kind("longer", found)) == MAX_CONTROLS
    assert all(len(pair["second"]) == 3 for pair in of_kind("shorter", found))


def test_one_wanted_answer_for_all_leaves_nothing_that_is_surely_wrong():
    found = control_pairs(rows(labels=("yes",)), seed=1)
    assert of_kind("longer", found) == of_kind("shorter", found) == []


def test_few_rows_give_few_pairs():
    found = control_pairs(rows(MIN_CONTROLS - 1), seed=1)
    assert 0 < len(of_kind("padded", found)) < MIN_CONTROLS


def test_the_same_question_asked_twice_is_no_wrong_answer():
    """Two people may want different answers to it."""
    twins = [
        TestRow(n, "The same", w, CandidateAnswer(""), CandidateAnswer(""))
        for n, w in enumerate(("one thing", "another thing"))
    ]
    assert of_kind("longer", control_pairs(twins, seed=1)) == []


def test_the_same_pairs_each_time_and_others_for_another_evaluation():
    assert control_pairs(rows(), seed=1) == control_pairs(rows(), seed=1)
    assert control_pairs(rows(), seed=1) != control_pairs(rows(), seed=2)


def test_thousands_of_rows_are_quick():
    assert len(control_pairs(rows(20_000), seed=1)) == len(CONTROL_KINDS) * MAX_CONTROLS


def test_equal_answers_are_not_asked_about():
    same = TestRow(0, "Q", "W", CandidateAnswer(" So. "), CandidateAnswer("So."))
    other = TestRow(1, "Q", "W", CandidateAnswer("So."), CandidateAnswer("No."))
    assert [pair["index"] for pair in answer_pairs([same, other])] == [1]
