"""No candidate is called better that an answer without any model equals."""

import pytest

from finetune_app.evaluation import services
from finetune_app.evaluation.models import TrivialAnswer
from finetune_app.evaluation.recommendation import MethodScores, recommend
from finetune_app.evaluation.trivial_baselines import trivial_rows
from finetune_app.evaluation.verdict.computation import compute_verdict
from finetune_app.evaluation.verdict.types import PairedOutcome
from tests import journey

FORTY_WINS = [PairedOutcome(1)] * 40 + [PairedOutcome(0)] * 20


def outcomes(wins: int, ties: int, losses: int) -> list[PairedOutcome]:
    return [PairedOutcome(1)] * wins + [PairedOutcome(0)] * ties + [PairedOutcome(-1)] * losses


def verdict(**trivial):
    return compute_verdict(FORTY_WINS, "green", trivial_results=trivial)


def test_a_draw_with_the_question_is_not_better():
    found = verdict(repeat=outcomes(20, 20, 20), commonest=outcomes(40, 20, 0))
    assert found.level == "not_better_than_trivial"
    assert not found.better
    assert found.headline == "Not better than repeating the question."
    assert any("points for copying" in note for note in found.notes)


@pytest.mark.parametrize(
    ("baseline", "headline"),
    [
        ("commonest", "Not better than always giving the commonest answer."),
        ("nearest_meaning", "Not better than looking up the nearest example."),
        ("rules", "Not better than keeping the rules and saying nothing."),
    ],
)
def test_the_headline_names_what_it_does_not_beat(baseline, headline):
    assert verdict(**{baseline: outcomes(0, 60, 0)}).headline == headline


def test_few_prompts_ahead_of_a_trivial_answer_is_not_yet_better():
    found = verdict(nearest_words=outcomes(6, 52, 2))
    assert found.level == "too_few_to_tell"
    assert found.headline.startswith("Better than the base model, but perhaps not than looking up")
    assert "could be chance" not in found.sentence  # that it beats the base could not


def test_beating_all_of_them_is_better_and_the_nearest_is_named():
    found = verdict(repeat=outcomes(40, 20, 0), nearest_words=outcomes(25, 30, 5))
    assert found.level == "consistently_better"
    assert found.trivial.baseline == "nearest_words"
    assert any("beats every answer that needs no model" in note for note in found.notes)


def test_graded_scores_count_too():
    """More prompts won, by less than is lost on the others."""
    mean_down = [PairedOutcome.of_scores(0.4, 0.45)] * 40 + [PairedOutcome.of_scores(0.9, 0.1)] * 20
    assert verdict(repeat=mean_down).level == "not_better_than_trivial"


def test_no_method_is_recommended_that_a_trivial_answer_equals():
    methods = [
        MethodScores("the base model", (0, 0), tuple([0.1] * 60), graded=True),
        MethodScores("a good prompt", (0, 1), tuple([0.31] * 60), graded=True),
        MethodScores("fine-tuning", (0, 3), tuple([0.40] * 60), graded=True),
    ]
    repeat = MethodScores("repeating the question", (-1, 0), tuple([0.41] * 60), graded=True)
    found = recommend(methods, [repeat])
    assert (found.found, found.chosen) == ("trivial", -1)
    assert "repeating the question needs no model and gets 41 of 100 points" in found.sentence
    assert "does not measure it" in found.sentence
    assert recommend(methods).found == "worth_it"  # as it was before


def test_a_method_that_is_ahead_by_chance_is_not_recommended_yet():
    methods = [
        MethodScores("the base model", (0, 0), (0.0,) * 20),
        MethodScores("fine-tuning", (0, 3), (1.0,) * 12 + (0.0,) * 8),
    ]
    nearest = MethodScores("looking up the nearest example", (-1, 0), (1.0,) * 9 + (0.0,) * 11)
    found = recommend(methods, [nearest])
    assert found.found == "trivial"
    assert "That could be chance; more test prompts would settle it." in found.sentence


def store(evaluation, baseline: str, *, right: bool) -> None:
    answers = [
        {
            "index": row.index,
            "text": row.prompt,
            "passed": right,
            "score": float(right),
            "why": "As wanted" if right else "Not as wanted",
        }
        for row in evaluation.comparisons.all()
    ]
    services.store_trivial_answers(evaluation, {"baseline": baseline, "answers": answers})


@pytest.fixture
def fooled(trained, owner):
    """A tuned model that is always right, as is whoever repeats the question."""
    evaluation = journey.evaluated(trained, owner)
    store(evaluation, "repeat", right=True)
    store(evaluation, "commonest", right=False)
    services.store_verdict(evaluation)
    return evaluation


def test_the_page_says_it_in_the_headline_and_shows_both(as_owner, fooled, url):
    page = as_owner.get(url("detail", fooled.pk)).content.decode()
    assert "Not better than repeating the question." in page
    assert "What needs no model at all" in page
    assert "Always the commonest answer" in page
    assert "Yes, consistently better" not in page


def test_the_best_of_them_comes_first(fooled):
    assert [row.label for row in trivial_rows(fooled)] == [
        "Repeating the question",
        "Always the commonest answer",
    ]


def test_an_event_that_arrives_twice_is_stored_once(fooled):
    before = TrivialAnswer.objects.count()
    store(fooled, "repeat", right=False)
    assert TrivialAnswer.objects.count() == before
    assert not fooled.trivial_answers.filter(baseline="repeat", passed=True).exists()


def test_an_evaluation_of_before_shows_none(as_owner, trained, owner, url):
    evaluation = journey.evaluated(trained, owner)
    page = as_owner.get(url("detail", evaluation.pk)).content.decode()
    assert "What needs no model at all" not in page
