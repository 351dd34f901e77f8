"""The learning rate of each update, and the cool-down before a run ends early."""

from types import SimpleNamespace

import pytest

from worker.training.schedule import cool_down, last_step, learning_rate, planned_rate
from worker.training.validation import Validation

TOTAL = 300


@pytest.fixture
def training():
    spec = SimpleNamespace(patience=2, learning_rate=1.0, warmup_ratio=0.0, schedule="linear")
    return SimpleNamespace(spec=spec, total_steps=TOTAL)


def measured(*scores, step=0, every=50):
    """A run with a loss that never improves, at `step`."""
    found = [Validation(every * n, 1.0, score) for n, score in enumerate(scores, 1)]
    return SimpleNamespace(step=step or every * len(scores), validations=found)


def test_the_rate_warms_up_and_falls():
    rates = [planned_rate(step, 100, 1.0, 0.1, "cosine") for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001
    assert planned_rate(99, 100, 1.0, 0.1, "constant") == 1.0
    assert planned_rate(55, 100, 1.0, 0.1, "linear") == pytest.approx(0.5)


def test_a_run_that_still_learns_goes_on_as_planned(training):
    state = measured(0.1, 0.2, 0.3)
    assert cool_down(training, state) is None
    assert last_step(training, state) == TOTAL
    assert learning_rate(training, state) == planned_rate(150, TOTAL, 1.0, 0.0, "linear")


def test_before_it_ends_early_the_rate_falls_to_nothing(training):
    start = planned_rate(150, TOTAL, 1.0, 0.0, "linear")
    rates = [learning_rate(training, measured(0.5, 0.5, 0.4, step=s)) for s in range(150, 180)]
    assert last_step(training, measured(0.5, 0.5, 0.4)) == 180  # a fifth of 150 more
    assert start * 0.95 < rates[0] < start
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < start / 20


def test_what_is_measured_meanwhile_does_not_put_off_the_end(training):
    assert last_step(training, measured(0.5, 0.5, 0.4, 1.0, every=45)) == 135 + 27


def test_it_never_ends_later_than_planned(training):
    assert last_step(training, measured(0.9, 0.8, 0.7, 0.6, 0.5, 0.4)) == 180
    assert last_step(training, measured(0.1, 0.2, 0.3, 0.5, 0.5, 0.4)) == TOTAL
