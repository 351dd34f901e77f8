"""The coach reads the curve of examples that are never learned from, and says what it means."""

from finetune_app.training.curve_advice import Advice, advise
from finetune_app.training.models import Point


def curve(*losses: float | None) -> list[Point]:
    return [Point(step=10 * n, loss=1.0, validation_loss=loss) for n, loss in enumerate(losses)]


def said(points: list[Point], **how) -> Advice:
    advice = advise(points, **({"ended": False} | how))
    assert advice is not None
    return advice


def test_it_says_nothing_before_there_are_two_measurements():
    assert advise(curve(3.0, None, None), ended=False) is None
    assert advise([], ended=True) is None


def test_while_the_loss_falls_there_is_nothing_to_do():
    advice = said(curve(3.0, 1.5, 1.0))
    assert advice.sentence.startswith("Still improving")
    assert advice.calm


def test_when_the_loss_levels_off_it_has_found_what_there_is():
    advice = said(curve(3.0, 1.0, 0.99))
    assert advice.sentence.startswith("It has nearly stopped improving")
    assert advice.calm


def test_a_rising_loss_means_memorising_and_the_best_point_is_kept():
    advice = said(curve(3.0, 1.0, 1.1))
    assert "memorise your examples" in advice.sentence
    assert "We keep" in advice.sentence
    assert not advice.calm


def test_a_small_rise_is_not_called_memorising():
    assert said(curve(3.0, 1.0, 1.04)).calm


def test_a_loss_that_hardly_moves_asks_for_better_examples():
    advice = said(curve(3.0, 2.97, 2.96))
    assert "hardly moved" in advice.sentence
    assert not advice.calm


def test_at_the_end_it_points_to_the_answers():
    assert "Now see whether its answers are right" in said(curve(3.0, 1.0), ended=True).sentence


def test_half_way_it_does_not_speak_as_if_there_were_a_model_to_try():
    advice = said(curve(3.0, 1.0), ended=True, finished=False)
    assert "Continue" in advice.sentence
    assert "answers are right" not in advice.sentence


def test_the_advice_changes_tense_when_training_ends():
    points = curve(3.0, 1.0, 1.5)
    assert "We kept the point" in said(points, ended=True).sentence
    assert "We keep the point" in said(points, ended=True, finished=False).sentence


def test_a_training_that_only_made_it_worse_is_not_called_kept_at_its_best():
    advice = said(curve(2.0, 5.0, 6.0), ended=True)
    assert "worse than before it began" in advice.sentence
    assert not advice.calm


def test_answers_that_get_better_after_the_loss_has_turned_count_more():
    points = curve(3.0, 1.0, 1.5)
    for point, score in zip(points, (None, 0.4, 0.6), strict=True):
        point.validation_score = score
    advice = said(points)
    assert "still got better" in advice.sentence
    assert advice.calm


def test_answers_that_never_got_better_after_it_mean_memorising():
    points = curve(3.0, 1.0, 1.5)
    for point, score in zip(points, (None, 0.6, 0.4), strict=True):
        point.validation_score = score
    assert "memorise your examples" in said(points).sentence
