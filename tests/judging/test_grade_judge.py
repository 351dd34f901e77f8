"""How a judge's answers are read and counted, and how often a biased one slips through."""

import random

import pytest

from finetune_app.judging.grading import Share, grade, grade_controls, judged_pairs, passes
from finetune_app.judging.job_messages import CONTROL_KINDS, Choice, GivenChoice, Pair
from finetune_app.judging.judge_prompt import judge_messages, read_choice
from finetune_app.judging.limits import MAX_CONTROLS

# ---- One answer ----


@pytest.mark.parametrize("text", ["A", " A\n", "A.", "**A**", "(A)", "“A”", "<think>B?</think>\nA"])
def test_a_letter_alone_is_an_answer(text):
    assert read_choice(text) == "A"


@pytest.mark.parametrize(
    "text", ["", "Answer A", "A or B", "AB", "a", "C", "Tie", "A because it is right", "<think>A"]
)
def test_anything_else_is_none(text):
    assert read_choice(text) == "none"


def test_swapped_shows_the_second_answer_first():
    pair = a_pair("answers", 0)
    straight, swapped = (
        judge_messages(pair, swapped=order)[0]["content"] for order in (False, True)
    )
    assert straight.index("right 0") < straight.index("wrong 0")
    assert swapped.index("wrong 0") < swapped.index("right 0")


def test_an_empty_answer_is_shown_as_such():
    pair = a_pair("answers", 0) | {"second": " "}
    assert "(no answer)" in judge_messages(pair, swapped=False)[0]["content"]


# ---- Two answers to one pair ----


def a_pair(kind: str, index: int) -> Pair:
    texts = {"prompt": "Q", "first": f"right {index}", "second": f"wrong {index}"}
    return {"kind": kind, "index": index} | texts


def said(kind: str, index: int, straight: Choice, swapped: Choice) -> list[GivenChoice]:
    return [
        {"kind": kind, "index": index, "swapped": False, "choice": straight},
        {"kind": kind, "index": index, "swapped": True, "choice": swapped},
    ]


@pytest.mark.parametrize(
    ("straight", "swapped", "side", "agree"),
    [
        ("A", "B", "first", True),
        ("B", "A", "second", True),
        ("T", "T", "tie", True),
        ("A", "A", "tie", False),
        ("B", "T", "tie", False),
        ("A", "none", None, False),
    ],
)
def test_only_what_both_orders_say_counts(straight, swapped, side, agree):
    (pair,) = judged_pairs(said("answers", 3, straight, swapped)).values()
    assert (pair.side, pair.orders_agree) == (side, agree)


# ---- A whole judge ----


def controls() -> list[Pair]:
    return [a_pair(kind, n) for kind in CONTROL_KINDS for n in range(MAX_CONTROLS)]


def all_right() -> list[GivenChoice]:
    return [one for pair in controls() for one in said(pair["kind"], pair["index"], "A", "B")]


def test_all_right_passes_and_wins_ties_and_losses_are_counted():
    pairs = controls() + [a_pair("answers", n) for n in range(10)]
    given = all_right()
    for n in range(10):  # 7 for ours, 2 ties, 1 for base
        given += said("answers", n, *("BA" if n < 7 else "TT" if n < 9 else "AB"))
    judgement = grade(given, pairs, same=5)
    assert judgement.bias is None
    assert judgement.split == (7, 7, 1), "the five that are the same are ties"
    assert judgement.orders == Share(10, 10)
    assert judgement.right == Share(100, 100)


def test_below_65_percent_agreement_nothing_but_that_is_told():
    pairs = controls() + [a_pair("answers", n) for n in range(20)]
    given = all_right()
    for n in range(20):
        given += said("answers", n, *("BA" if n < 12 else "AA" if n % 2 else "BB"))
    judgement = grade(given, pairs, same=0)
    assert (judgement.bias, judgement.orders, judgement.split) == (
        "inconsistent",
        Share(12, 20),
        None,
    )
    given = [one for one in given if (one["kind"], one["index"]) != ("answers", 12)]
    given += said("answers", 12, "B", "A")  # 13 of 20 is 65 %
    assert grade(given, pairs, same=0).bias is None


def test_questions_without_an_answer_count_against_it():
    pairs = controls()
    given = [one for one in all_right() if one["index"] % 4]  # a quarter was never answered
    assert grade_controls(given, pairs).bias == "no_answer"
    some = [one for one in all_right() if one["index"] % 10]  # a tenth
    assert grade_controls(some, pairs).bias is None


def test_each_kind_has_to_be_better_than_a_coin():
    assert passes(Share(15, 20))
    assert not passes(Share(14, 20))
    assert not passes(Share(0, 0))


# ---- How often a biased judge slips through ----


def share_accepted(kind: str, strength: float, tries: int = 400) -> float:
    """Judges that are right, but take the wrong side in this kind with this probability."""
    draw = random.Random(f"{kind} {strength}")
    accepted, pairs = 0, controls()
    for _try in range(tries):
        given = []
        for pair in pairs:
            biased = pair["kind"] == kind and draw.random() < strength
            given += said(pair["kind"], pair["index"], *("BA" if biased else "AB"))
        accepted += grade_controls(given, pairs).bias is None
    return accepted / tries


@pytest.mark.parametrize("kind", CONTROL_KINDS)
def test_judges_are_refused_the_more_often_the_stronger_the_bias(kind):
    """docs/judge.md has the table."""
    assert share_accepted(kind, 0.0, tries=1) == 1  # nothing is drawn
    assert share_accepted(kind, 0.1) > 0.95, "a judge that errs now and then is heard"
    assert share_accepted(kind, 0.5) < 0.05, "one that goes by this half the time is not"
    assert share_accepted(kind, 0.8) == 0
