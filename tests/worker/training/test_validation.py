"""Which step is best, when a run ends early, and how often it is measured."""

import pytest

from finetune_app.basemodels.training_work import (
    MIN_STEPS,
    decoding_cost,
    measurement_cost,
    validation_steps,
)
from worker.training.validation import Validation, best, ends_early


def measured(*values, every=100):
    """Validations from (loss, score) pairs."""
    return [Validation(every * n, loss, score) for n, (loss, score) in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([(2.0, 0.1), (1.0, 0.5), (1.5, 0.7)], 300),  # answers get better after the loss turned
        ([(2.0, 0.5), (1.0, 0.5), (1.5, 0.5)], 200),  # the loss decides between equals
        ([(2.0, None), (1.0, None), (1.5, None)], 200),  # and alone without a measure
        ([(2.0, 0.5), (2.0, 0.5)], 100),  # the earlier of two that are equal
        ([(None, 0.5), (1.0, 0.4)], 100),
        ([(None, None), (1.0, None)], 200),
    ],
)
def test_the_best_step(values, step):
    assert best(measured(*values)).step == step


def test_nothing_measured_has_no_best_step():
    assert best([]) is None
    assert best(measured((None, None))) is None


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([(2.0, 0.5), (1.9, 0.4), (1.8, 0.3)], False),  # the loss still falls
        ([(2.0, 0.1), (2.1, 0.2), (2.2, 0.3)], False),  # the answers still get better
        ([(2.0, 0.5), (2.1, 0.5), (2.2, 0.4)], True),
        ([(2.0, None), (2.1, None), (2.2, None)], True),
        ([(2.0, 0.5), (2.1, 0.5)], False),  # not for long enough
        ([(2.0, 1.0), (1.0, 1.0)], True),  # every answer was right, twice
        ([(2.0, 0.9), (1.0, 1.0)], False),
    ],
)
def test_a_run_ends_when_neither_improves(values, ends):
    assert ends_early(measured(*values), patience=2) is ends


def test_a_small_set_is_never_ended_at_nothing():
    short = measured((2.0, 0.0), (2.1, 0.0), (2.2, 0.0), every=MIN_STEPS // 4)
    assert not ends_early(short, patience=2)
    assert not ends_early([], patience=1)


def test_passes_end_with_a_measurement_where_it_is_cheap():
    steps = validation_steps(total=60, epochs=3, train_tokens=100_000, cost=10)
    assert {20, 40, 60} <= set(steps)
    assert len(steps) == 9


def test_what_costs_much_is_measured_less_often():
    steps = validation_steps(total=300, epochs=3, train_tokens=100_000, cost=5_000)
    assert steps == [100, 200, 300]  # 15,000 of 100,000
    assert validation_steps(total=300, epochs=3, train_tokens=100, cost=5_000) == [300]


def test_writing_an_answer_costs_more_than_reading_it():
    assert measurement_cost(0, 0, 90, 10) > measurement_cost(90, 0, 0, 0)


def test_one_long_answer_takes_longer_than_many_short_ones():
    assert decoding_cost(300, longest=300) > decoding_cost(300, longest=10)
    assert decoding_cost(32_000, longest=10) == 32_000 / 3 + 10 * 1_000
