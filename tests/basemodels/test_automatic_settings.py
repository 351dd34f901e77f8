"""Automatic settings for three to a hundred thousand rows, each with a reason."""

import pytest

from finetune_app.basemodels.automatic_settings import automatic_settings, steps


@pytest.mark.parametrize(
    ("rows", "epochs"),
    [
        (1, 25),
        (3, 25),
        (10, 10),
        (12, 8),
        (60, 8),
        (240, 8),
        (4000, 8),
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
    assert "lose their earliest turns" in capped.reasons["max_tokens"]


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


def test_a_wider_model_learns_at_a_gentler_rate():
    rates = [
        automatic_settings(240, 90, width).settings["learning_rate"] for width in (576, 2000, 4096)
    ]
    assert rates == [1.3e-3, 5e-4, 2.9e-4]


def test_a_model_of_unknown_width_gets_the_rate_of_a_wide_one():
    assert automatic_settings(240, 90).settings["learning_rate"] == 5e-4


def test_more_rows_get_a_larger_adapter_of_the_same_strength():
    chosen = [automatic_settings(rows, 90).settings for rows in (240, 5_000, 50_000)]
    assert [one["rank"] for one in chosen] == [16, 32, 64]
    assert {one["alpha"] for one in chosen} == {32}
