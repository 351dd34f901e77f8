"""Estimates of time and memory, compared with measurements."""

from dataclasses import replace

import pytest

from finetune_app.basemodels.catalogue import STARTER, catalogue, entry_of
from finetune_app.basemodels.estimates import Estimate, estimate_for, fit, times, work_of
from finetune_app.basemodels.memory_plan import (
    LargestBatch,
    ModelShape,
    TrainingSetup,
    memory_plan,
)
from finetune_app.basemodels.models import BaseModel, Speed
from finetune_app.basemodels.time_plan import MeasuredSpeeds, shape_of
from finetune_app.basemodels.training_work import LongestRows, TrainingWork, longest_rows
from finetune_app.core.machine import GraphicsCard, Machine
from finetune_app.core.sizes import MEMORY_GB as GB
from finetune_app.versions.models import Version

BATCH = LargestBatch(rows=8, longest=80, tokens=640, learned=160)
SMALL = TrainingWork(
    tokens=20_000,
    rows=240,
    epochs=3,
    batch_size=8,
    rank=16,
    replay_rows=2,
    longest_rows=LongestRows((80,) * 8, learned=20),
    measured_tokens=6_000,
    answer_tokens=1_000,
)
HERE = "a processor, 2 cores"


def machine(free_gb: float, card: GraphicsCard | None = None) -> Machine:
    return Machine(2, 24 * GB, int(free_gb * GB), 100 * GB, card, "a processor")


@pytest.fixture
def starter(db) -> BaseModel:
    return BaseModel.objects.create(
        slug=STARTER, name="SmolLM2 135M", source="x", parameters=134_515_008
    )


def needed(entry, setup=TrainingSetup(), batch=BATCH) -> float:
    return memory_plan(shape_of(entry, None), setup, batch).total


def test_the_plan_for_the_starter_matches_the_measurement():
    """A real training on 8 rows of 71 tokens peaked at 1.37 GB (docs/benchmarks/memory.md)."""
    batch = LargestBatch(rows=8, longest=71, tokens=568, learned=168)
    assert needed(entry_of(STARTER), batch=batch) == pytest.approx(1.37e9, rel=0.1)


def test_memory_grows_with_everything():
    entry = entry_of(STARTER)
    least = needed(entry)
    assert needed(entry, batch=LargestBatch(8, 160, 1280, 160)) > least
    assert needed(entry, batch=LargestBatch(8, 80, 640, 320)) > least
    assert needed(entry, TrainingSetup(rank=64)) > least
    assert needed(entry, TrainingSetup("fp32")) > least + 2 * entry.parameters


def test_a_card_holds_less_with_checkpoints_and_four_bits():
    entry, batch = entry_of("llama-3-8b-instruct"), LargestBatch(8, 512, 4096, 1024)
    plain = needed(entry, TrainingSetup(on_card=True), batch)
    recomputed = TrainingSetup(on_card=True, gradient_checkpointing=True)
    packed = TrainingSetup(on_card=True, gradient_checkpointing=True, tuning="qlora")
    full = TrainingSetup(on_card=True, gradient_checkpointing=True, tuning="full")
    assert plain > needed(entry, recomputed, batch) > needed(entry, packed, batch)
    # A quarter of 14 GB of linear layers, and 2 GB of embeddings in bf16.
    assert 5e9 < memory_plan(entry.shape, packed, batch).weights < 6.5e9
    assert needed(entry, full, batch) > 16 * entry.parameters


def test_the_largest_models_need_most():
    amounts = [needed(entry) for entry in catalogue()]
    assert amounts[0] == min(amounts)
    assert max(amounts) > 16 * 1e9


def test_a_model_without_known_widths_is_estimated_from_its_parameters():
    known = entry_of("llama-3-2-1b-instruct").shape
    guessed = ModelShape.known(
        known.parameters, {"layers": 16, "hidden": 2048, "vocabulary": 128_256}
    )
    assert guessed.linear_parameters == pytest.approx(known.linear_parameters, rel=0.05)
    plan = memory_plan(guessed, TrainingSetup(), BATCH).total
    # Too much rather than too little: it knows of no shared key heads.
    assert 1 <= plan / memory_plan(known, TrainingSetup(), BATCH).total < 1.2


def version(**fields) -> Version:
    counts = {"train": 100, "validation": 10, "test": 10}
    return Version(**{"counts": counts, "characters": 20_000, "longest_answer": 72} | fields)


def test_the_longest_rows_make_the_largest_batch():
    rows = longest_rows(version(longest=720, longest_rows=[720, 360, 360, 180]), 8, 1024)
    found = rows.at_once(4096)
    assert (found.rows, found.longest) == (4, 220)
    assert found.tokens == 220 + 120 + 120 + 70
    assert found.learned == 4 * 40


def test_rows_that_are_too_many_at_once_are_computed_in_parts():
    rows = longest_rows(version(longest=7200, longest_rows=[7200] * 8), 8, 4096)
    found = rows.at_once(4096)
    assert (found.rows, found.longest) == (2, 2020)
    assert rows.at_once(1024).rows == 1
    cut = longest_rows(version(longest=72_000, longest_rows=[72_000] * 8), 8, 4096).at_once(4096)
    assert (cut.rows, cut.longest) == (1, 4096)


def test_the_two_conversations_of_a_pair_are_computed_at_once():
    rows = longest_rows(version(longest=7200, longest_rows=[7200] * 8), 8, 4096, conversations=2)
    assert rows.at_once(1024).rows == 2
    assert rows.at_once(9000).rows == 4


def test_a_processor_computes_fewer_rows_at_once_than_a_card(starter):
    long = replace(SMALL, longest_rows=LongestRows((500,) * 8, learned=100))
    shape = shape_of(entry_of(STARTER), starter)
    here = estimate_for(shape, long, starter, MeasuredSpeeds.read(machine(8)))
    card = GraphicsCard("a card", 24 * GB, 24 * GB)
    there = estimate_for(shape, long, starter, MeasuredSpeeds.read(machine(8, card)))
    assert (here.at_once.rows, there.at_once.rows) == (4, 8)


def test_a_version_without_lengths_is_taken_to_be_half_as_long():
    found = longest_rows(version(longest=720), 8, 1024).at_once(4096)
    assert found.tokens == 220 + 7 * 120


def expected(model: BaseModel | None, shape: ModelShape | None = None, on=None) -> Estimate:
    """For SMALL, on the machine of these tests."""
    speeds = MeasuredSpeeds.read(on or machine(8))
    shape = shape or shape_of(entry_of(model.slug), model)
    return estimate_for(shape, SMALL, model, speeds)


def measure(model: BaseModel, speed: float, **fields) -> Speed:
    values = {"what": "training", "device": HERE} | fields
    return Speed.objects.create(base_model=model, tokens_per_second=speed, **values)


def test_without_a_measurement_it_is_a_wide_guess(starter):
    guess = expected(starter)
    assert not guess.measured
    assert guess.high == pytest.approx(4 * guess.seconds)
    assert "a guess until it has run here once" in guess.time_why
    assert guess.time_why.startswith(
        "240 examples, read up to three times, at perhaps 300 tokens a second"
    )


def test_all_that_a_run_does_takes_time(starter):
    """60,000 tokens of examples, and nine measurements, of which 15 % of the work is afforded."""
    measure(starter, 1000)
    loading = 20 + 0.67
    assert SMALL.steps == 90
    assert 60_000 * 1.1 < SMALL.updates + SMALL.measuring <= 60_000 * 1.2
    assert SMALL.total > SMALL.updates + SMALL.measuring + BATCH.tokens
    assert expected(starter).seconds == pytest.approx(SMALL.total / 1000 + loading, rel=0.01)
    everyday = replace(SMALL, replay_tokens=3_000)
    assert everyday.updates == 60_000 + 3 * 3_000


def test_long_answers_take_longer_to_write():
    """100 rows of 200 letters: 55 tokens, of which a quarter or nearly all is the answer."""
    settings = {"epochs": 1, "batch_size": 8, "replay_share": 0, "max_tokens": 1024}
    usual = work_of(version(), settings=settings | {"validation_prompts": 10})
    long = work_of(
        version(answer_characters=18_000, longest_answer=1_800),
        settings=settings | {"validation_prompts": 10},
    )
    assert usual.answer_tokens == 10 * (13 + 6 + 16)
    assert long.answer_tokens == 10 * (50 + 25 + 16)
    assert (usual.longest_answer, long.longest_answer) == (20 + 10 + 16, 3 * 91)
    assert long.start_tokens == 2 * (50 + 25 + 16)
    assert long.updates == usual.updates
    assert long.total > usual.total


def test_it_may_end_early(starter):
    measure(starter, 1000)
    known = expected(starter)
    assert SMALL.earliest_end == pytest.approx(80 / 90)
    assert replace(SMALL, rows=2_400).earliest_end == 3 / 8
    assert known.low < 80 / 90 * known.seconds / 1.4 * 1.05


def test_a_measurement_replaces_the_guess_and_narrows_it(starter):
    measure(starter, 900)
    known = expected(starter)
    assert known.measured
    assert known.tokens_per_second == 900
    assert known.high / known.seconds == pytest.approx(1.4)
    assert known.time_why == (
        "240 examples, read up to three times, at 900 tokens a second as measured here."
    )


def test_the_last_measurement_counts(starter):
    for speed in (900, 500):
        measure(starter, speed)
    assert expected(starter).tokens_per_second == 500


def test_a_run_with_steps_of_the_same_size_counts_most(starter):
    measure(starter, 500, tokens_per_step=SMALL.tokens_per_step * 1.1)
    measure(starter, 900, tokens_per_step=SMALL.tokens_per_step * 8)
    assert expected(starter).tokens_per_second == 500


def test_a_speed_of_another_device_says_nothing(starter):
    measure(starter, 9_000, device="NVIDIA L4")
    assert not expected(starter).measured
    card = machine(8, GraphicsCard("NVIDIA L4", 24 * GB, 20 * GB))
    assert expected(starter, on=card).tokens_per_second == 9_000


def test_other_models_are_scaled_by_their_linear_layers(starter):
    """Gemma's embeddings are two thirds of it, and cost nothing to read."""
    measure(starter, 900)
    gemma = entry_of("gemma-3-270m-it").shape
    scaled = expected(None, gemma)
    ratio = entry_of(STARTER).shape.linear_parameters / gemma.linear_parameters
    assert scaled.tokens_per_second == pytest.approx(900 * ratio)
    assert scaled.high / scaled.seconds == pytest.approx(2)
    assert not scaled.measured


def test_fp32_needs_more_memory(starter):
    without = expected(starter).memory_bytes
    measure(starter, 300, number_format="fp32")
    more = expected(starter).memory_bytes - without
    assert more > 2 * 134_515_008


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
    card = GraphicsCard("A card", 24 * GB, 24 * GB)
    assert fit(machine(20, card), GB, 86_400).word == "Fits"


def test_with_a_graphics_card_its_memory_counts():
    found = fit(machine(4, GraphicsCard("A card", 24 * GB, 24 * GB)), 20 * GB, 60)
    assert found.level == "fits"


def test_what_does_not_fit_says_how_much_would():
    assert "with 21 GB of free memory" in fit(machine(4), 20.2 * GB, 60).sentence


def test_counting_words():
    assert [times(n) for n in (1, 2, 3, 12)] == ["once", "twice", "three times", "12 times"]


def test_a_range_says_its_unit_once(starter):
    measure(starter, 300)
    assert expected(starter).range_words == "probably 3 to 6 minutes"
    short = expected(None, ModelShape(1e6, 2, 64, 300, 128, 1, 1, 64))
    assert short.range_words == ""
    assert short.time_range_words == "a guess until it has run here once"
