"""The page of a measure says what needs no model on the training examples."""

import pytest
from django.urls import reverse

from finetune_app.datasets import trivial_scores as scoring
from finetune_app.datasets.trivial_scores import nearest_others, trivial_scores
from finetune_app.goals import services as goals
from tests.example_rows import conversation
from tests.page_text import compact

REPEAT, CONSTANT, NEAREST = range(3)


@pytest.fixture
def rows(dataset, add_examples):
    """Add examples of (question, answer), all of one split."""

    def add(*pairs: tuple[str, str], split: str = "train") -> None:
        known = dataset.examples.count()
        add_examples(
            rows=[{"messages": conversation(*pair), "split": split} for pair in pairs],
        )
        dataset.examples.filter(number__gt=known).update(split=split)

    return add


def labelled(count: int, labels: list[str]) -> list[tuple[str, str]]:
    """Each question shares its words with no other but those of its label."""
    wanted = [labels[n % len(labels)] for n in range(count)]
    return [(f"{label}word number{n}", label) for n, label in enumerate(wanted)]


def choose(goal, kind: str, **settings) -> None:
    goals.choose_measure(goal=goal, kind=kind, settings=settings)


def test_each_answer_without_a_model_has_its_score(goal, rows):
    choose(goal, "exact")
    rows(*labelled(20, ["hire", "return", "repair", "price"]))
    found = trivial_scores(goal)
    assert found.rows == 20
    assert [one.result for one in found.scores] == [
        "0 of 20 right",
        "5 of 20 right",
        "20 of 20 right",
    ]


def test_only_high_scores_are_warned_of(goal, rows):
    choose(goal, "exact")
    rows(*labelled(20, ["hire", "return", "repair", "price"]))
    scores = trivial_scores(goal).scores
    assert scores[REPEAT].warning == scores[CONSTANT].warning == ""
    assert "too much alike" in scores[NEAREST].warning


def test_one_answer_for_most_questions_is_warned_of(goal, rows):
    choose(goal, "exact")
    rows(*labelled(20, ["hire", "hire", "hire", "return"]))
    score = trivial_scores(goal).scores[CONSTANT]
    assert score.result == "15 of 20 right"
    assert "rarer answers" in score.warning


def test_copying_is_warned_of_by_a_graded_measure(goal, rows):
    choose(goal, "close")
    rows(*[(f"We mend bike {n} today", f"We mended bike {n} today") for n in range(12)])
    score = trivial_scores(goal).scores[REPEAT]
    assert score.result.endswith("of 100 points")
    assert "copying" in score.warning


def test_the_nearest_example_is_never_the_question_itself():
    questions = ["the red bike", "the red bike", "the blue car", "a blue car", "zebra"]
    found = nearest_others(questions)
    assert found[:4] == [1, 0, 3, 2]
    assert all(at != other for at, other in enumerate(found))


def test_only_training_examples_are_read(goal, rows):
    choose(goal, "exact")
    rows(*labelled(9, ["hire", "return"]))
    rows(*[(f"kept apart {n}", "secret") for n in range(30)], split="test")
    assert trivial_scores(goal) is None  # nine are too few
    rows(("one more word", "hire"))
    assert trivial_scores(goal).rows == 10


def test_of_many_an_even_choice_is_read(goal, rows, monkeypatch):
    monkeypatch.setattr(scoring, "MAX_ROWS", 12)
    choose(goal, "exact")
    rows(*labelled(100, ["hire", "return"]))
    assert trivial_scores(goal).rows == 12


def test_of_long_answers_fewer_are_read(goal, rows, monkeypatch):
    monkeypatch.setattr(scoring, "MAX_CHARACTERS", 200)
    choose(goal, "close")
    rows(*[(f"question {n}", f"{n} " * 6) for n in range(40)])
    assert 10 <= trivial_scores(goal).rows < 20


@pytest.mark.parametrize(
    ("kind", "options"), [("choice", {}), ("meaning", {}), ("rules", {"max_words": 20})]
)
def test_nothing_is_said_where_it_cannot_be_measured_or_nothing_passes(goal, rows, kind, options):
    choose(goal, kind, **options)
    rows(*labelled(20, ["hire", "return"]))
    assert trivial_scores(goal) is None


def test_the_page_of_a_measure_shows_it(goal, rows, as_editor):
    choose(goal, "exact")
    address = reverse("goals:measure", args=[goal.pk])
    assert "What needs no model" not in compact(as_editor.get(address))
    rows(*labelled(20, ["hire", "return", "repair", "price"]))
    page = compact(as_editor.get(address))
    assert "On 20 of your training examples" in page
    assert "the one that scores best:<b>5 of 20 right</b>" in page
