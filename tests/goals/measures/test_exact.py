"""Exact answers, and labels that name the difference."""

import pytest

from finetune_app.goals.measures import MeasureError, get_measure

WANTED = "topic: return\ndue: this_week\nreply: We refund it."


def why(answer, wanted=WANTED, **settings):
    return get_measure("exact", settings).check(answer, wanted).why


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        (WANTED, "As wanted"),
        (f"\n {WANTED.replace(chr(10), '  ' + chr(13) + chr(10))} \n", "As wanted"),
        (WANTED.replace("return", "order"), "Topic differs"),
        (WANTED.replace("return", "order").replace("this_week", "today"), "Topic and due differ"),
        ("topic: return\ndue: this_week", "Reply is missing"),
        (WANTED + "\nmood: sad", "Mood was not wanted"),
        ("due: this_week\ntopic: return\nreply: We refund it.", "Lines in another order"),
        ("topic:   return\ndue: this_week\nreply: We refund it.", "Spacing differs"),
        ("Thank you for your email.", "Not in three lines"),
        ("", "Not in three lines"),
    ],
)
def test_the_label_names_the_line_that_differs(answer, label):
    assert why(answer) == label


def test_a_class_label_passes_or_fails():
    measure = get_measure("exact", {})
    assert measure.check("card_lost\n", "card_lost").passed
    assert not measure.check("card_lost", "card_stolen").passed
    assert why("Card_Lost", "card_lost") == "Only capital letters differ"
    assert why("Card_Lost", "card_lost", ignore_case=True) == "As wanted"
    assert why("card_lost. Anything else?", "card_lost") == "Says more than wanted"
    assert why("", "card_lost") == "Empty answer"
    assert why(" a", "a", ignore_outer_space=False) == "Not as wanted"


def test_only_the_chosen_lines_must_match():
    other_words = WANTED.replace("We refund it.", "You get your money back.")
    measure = get_measure("exact", {"lines": ["topic", "due"]})
    assert measure.check(other_words, WANTED).passed
    assert measure.check("topic: return\ndue: this_week", WANTED).why == "Reply is missing"
    assert measure.check(other_words.replace("return", "order"), WANTED).why == "Topic differs"


def test_more_correct_lines_score_higher_and_only_all_pass():
    measure = get_measure("exact", {})
    scores = [
        measure.check(answer, WANTED).value
        for answer in (
            "prose",
            "topic: x\ndue: y\nreply: z",
            "topic: return\ndue: y\nreply: z",
            "topic: return\ndue: this_week\nreply: z",
            WANTED,
        )
    ]
    assert scores == sorted(scores)
    assert scores[-2] < scores[-1] == 1.0


def test_invalid_settings_are_rejected_with_a_reason():
    with pytest.raises(MeasureError, match="no setting called “ignore_cases”"):
        get_measure("exact", {"ignore_cases": True})
    with pytest.raises(MeasureError, match="either on or off"):
        get_measure("exact", {"ignore_case": "yes"})
    with pytest.raises(MeasureError, match="no measure called “magic”"):
        get_measure("magic", {})
    with pytest.raises(MeasureError, match="names with values"):
        get_measure("exact", ["ignore_case"])


@pytest.mark.parametrize(
    ("answer", "wanted", "right"),
    [
        ("The pump is rated 90 W.", "90W", True),
        ("It takes three years, says the handbook.", "Three years", True),
        ("It takes thirty-three years.", "three", True),
        ("It is 190 W.", "90 W", False),
        ("About 3.55 bar.", "3.5", False),
        ("Use 3.5 bar.", "3.5 bar", True),
        ("I cannot say.", "90 W", False),
        ("", "90 W", False),
        ("Anything", " .", False),
    ],
)
def test_a_fact_may_be_anywhere_in_the_answer(answer, wanted, right):
    assert get_measure("exact", {"within": True}).check(answer, wanted).passed is right


def test_a_list_of_everything_is_no_answer():
    measure = get_measure("exact", {"within": True})
    everything = " ".join(map(str, range(1850, 2000)))
    assert measure.check(everything, "1912").why == "Says too much: 150 words"
    assert measure.check("word " * 100 + "1912", "1912").passed


def test_as_many_facts_as_an_answer_may_hold_are_the_best_constant():
    measure = get_measure("exact", {"within": True})
    answers = [str(1850 + n % 150) for n in range(300)]
    constant = measure.best_constant(answers)
    assert sum(measure.check(constant, one).passed for one in answers) == 200
    assert get_measure("exact", {}).best_constant(["a", "b", "b"]) == "b"
