"""Estimates of time and memory, compared with measurements."""

import pytest

from finetune_app.basemodels.catalogue import STARTER, catalogue, entry_of
from finetune_app.basemodels.estimates import (
    MeasuredSpeeds,
    ModelShape,
    TrainingWork,
    estimate_for,
    fit,
    memory_needed,
    shape_of,
    times,
)
from finetune_app.basemodels.models import BaseModel, Speed
from finetune_app.core.machine import GraphicsCard, Machine
from finetune_app.core.sizes import MEMORY_GB as GB

SMALL = TrainingWork(tokens=20_000, rows=240, epochs=3, tokens_per_step=640)


def machine(free_gb: float, card: GraphicsCard | None = None) -> Machine:
    return Machine(2, 24 * GB, int(free_gb * GB), 100 * GB, card)


@pytest.fixture
def starter(db) -> BaseModel:
    return BaseModel.objects.create(
        slug=STARTER, name="SmolLM2 135M", source="x", parameters=134_515_008
    )


def test_the_estimate_for_the_starter_matches_the_measurement():
    """A real training on 8 rows of 80 tokens peaked between 1.5 and 1.9 GB."""
    needed = memory_needed(shape_of(entry_of(STARTER), None), 8 * 80)
    assert 1.5e9 <= needed <= 1.9e9


def test_memory_grows_with_everything():
    shape = ModelShape(1e9, 24, 2048, 50_000)
    least = memory_needed(shape, 640)
    assert memory_needed(shape, 1280) > least
    assert memory_needed(ModelShape(2e9, 24, 2048, 50_000), 640) > least + 2e9
    assert memory_needed(ModelShape(1e9, 24, 2048, 150_000), 640) > least
    assert memory_needed(shape, 640, number_bytes=4) == least + 2e9


def test_the_catalogue_is_ordered_by_what_it_needs():
    needed = [memory_needed(shape_of(entry, None), 640) for entry in catalogue()]
    assert needed[0] == min(needed)
    assert needed[-1] == max(needed)
    assert needed[-1] > 16 * 1e9


def test_without_a_measurement_it_is_a_wide_guess(starter):
    guess = estimate_for(shape_of(entry_of(STARTER), starter), SMALL, starter)
    assert not guess.measured
    assert guess.seconds == pytest.approx(60_000 / 300 * 1.15 + 5, rel=0.01)
    assert guess.high / guess.low == pytest.approx(2.5**2)
    assert "a guess until it has run here once" in guess.time_why
    assert guess.time_why.startswith(
        "240 examples, read up to three times, at perhaps 300 tokens a second"
    )


def test_a_measurement_replaces_the_guess_and_narrows_it(starter):
    Speed.objects.create(
        base_model=starter, what="training", tokens_per_second=900, peak_memory_bytes=3 * 10**9
    )
    known = estimate_for(shape_of(entry_of(STARTER), starter), SMALL, starter)
    assert known.measured
    assert known.tokens_per_second == 900
    assert known.memory_bytes == 3e9
    assert known.high / known.low == pytest.approx(1.4**2)
    assert known.time_why == (
        "240 examples, read up to three times, at 900 tokens a second as measured here."
    )


def test_the_last_measurement_counts(starter):
    for speed in (900, 500):
        Speed.objects.create(base_model=starter, what="training", tokens_per_second=speed)
    assert estimate_for(ModelShape(1, 1, 1, 1), SMALL, starter).tokens_per_second == 500


def test_other_models_are_guessed_from_what_was_measured(starter):
    Speed.objects.create(base_model=starter, what="training", tokens_per_second=900)
    assert MeasuredSpeeds.read().expected(10 * 134_515_008) == pytest.approx(90)


def test_fp32_needs_more_memory(starter):
    shape = shape_of(entry_of(STARTER), starter)
    without = estimate_for(shape, SMALL, starter).memory_bytes
    Speed.objects.create(
        base_model=starter, what="training", tokens_per_second=300, number_format="fp32"
    )
    assert estimate_for(shape, SMALL, starter).memory_bytes - without == pytest.approx(
        2 * 134_515_008
    )


@pytest.mark.parametrize(
    ("need", "free", "level", "words"),
    [
        (1.9, 5.9, "fits", "1.9 GB"),
        (5.5, 5.5, "fits", "5.5 GB"),
        (6.8, 5.9, "almost", "6.8 GB, 0.9 GB more than is free"),
        (21, 5.9, "no", "21.0 GB, 15.1 GB more than is free"),
        (1, 0.0, "no", "1.0 GB, 1.0 GB more than is free"),
    ],
)
def test_fit(need, free, level, words):
    found = fit(machine(free), need * GB, 360)
    assert (found.level, found.memory) == (level, words)
    if level != "no":
        assert "6 minutes" in found.sentence


def test_a_training_of_days_is_pointed_out():
    assert fit(machine(20), GB, 86_400).word == "Fits, but slow"
    card = GraphicsCard("A card", 24 * GB)
    assert fit(machine(20, card), GB, 86_400).word == "Fits"


def test_with_a_graphics_card_its_memory_counts():
    found = fit(machine(4, GraphicsCard("A card", 24 * GB)), 20 * GB, 60)
    assert found.level == "fits"


def test_what_does_not_fit_says_how_much_would():
    assert "with 21 GB of free memory" in fit(machine(4), 20.2 * GB, 60).sentence


def test_counting_words():
    assert [times(n) for n in (1, 2, 3, 12)] == ["once", "twice", "three times", "12 times"]


def test_a_range_says_its_unit_once(starter):
    guess = estimate_for(shape_of(entry_of(STARTER), starter), SMALL, starter)
    assert guess.range_words == "probably 2 to 10 minutes"
    short = estimate_for(ModelShape(1e6, 2, 64, 300), SMALL, starter)
    assert short.range_words == ""
    assert short.time_range_words == "a guess until it has run here once"
