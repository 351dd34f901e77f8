"""Automatic settings for three to a hundred thousand rows, each with a reason."""

import pytest

from finetune_app.basemodels.automatic_settings import automatic_settings, steps


@pytest.mark.parametrize(
    ("rows", "epochs"),
    [
        (1, 25),
        (3, 25),
        (10, 10),
        (33, 6),
        (34, 6),
        (60, 6),
        (240, 3),
        (400, 3),
        (5000, 3),
        (50_000, 1),
    ],
)
def test_passes_grow_for_few_rows_and_shrink_for_many(rows, epochs):
    assert automatic_settings(rows, 100).settings["epochs"] == epochs


def test_more_rows_never_mean_more_passes():
    passes = [automatic_settings(rows, 100).settings["epochs"] for rows in range(1, 2000)]
    assert passes == sorted(passes, reverse=True)


def test_a_few_hundred_rows_make_eighty_updates_or_more():
    for rows in range(140, 4000, 50):
        assert automatic_settings(rows, 100).steps >= 80


def test_steps_count_the_last_smaller_batch():
    assert steps(17, 8, 3) == 9


def test_every_row_fits_unless_it_is_enormous():
    assert automatic_settings(100, 77).settings["max_tokens"] == 128
    assert automatic_settings(100, 700).settings["max_tokens"] == 704
    capped = automatic_settings(100, 9000)
    assert capped.settings["max_tokens"] == 4096
    assert "lose the beginning" in capped.reasons["max_tokens"]


def test_every_setting_has_a_reason_in_a_sentence():
    chosen = automatic_settings(240, 90)
    assert chosen.reasons.keys() == chosen.settings.keys()
    assert all(why.endswith(".") for why in chosen.reasons.values())


def test_the_trainer_accepts_every_choice():
    spec = pytest.importorskip("worker.training.spec")
    for rows in (1, 50, 500, 100_000):
        settings = automatic_settings(rows, 200).settings
        made = spec.TrainingSpec.from_json({"base_model": "/m", "version": "/v", **settings})
        assert made.epochs == settings["epochs"]


def test_a_larger_model_learns_at_a_gentler_rate():
    small, large = (
        automatic_settings(240, 90, size).settings for size in (135_000_000, 8_000_000_000)
    )
    assert large["learning_rate"] == small["learning_rate"] / 2
