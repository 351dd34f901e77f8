"""Which settings are tried, which trials go on, and what it takes to replace the automatic ones."""

import pytest

from finetune_app.basemodels.automatic_settings import automatic_settings
from finetune_app.hyperparameter_search.successive_halving import (
    RUNGS,
    Outcome,
    survivors,
    winner,
    work,
)
from finetune_app.hyperparameter_search.trials import trials_around


def outcomes(*scores, losses=None, prompts=20):
    losses = losses or [1.0] * len(scores)
    return {
        number: Outcome(score, loss, prompts)
        for number, (score, loss) in enumerate(zip(scores, losses, strict=True))
    }


def test_each_trial_changes_one_setting():
    trials = trials_around(automatic_settings(400, 100, 576).settings)
    assert next(name for name, _changes in trials) == "automatic"
    assert [len(changes) for _name, changes in trials] == [0, 1, 1, 1, 1, 1]


def test_a_change_that_is_none_is_left_out():
    settings = automatic_settings(400, 100, 576).settings | {"batch_size": 1, "replay_share": 0}
    names = [name for name, _changes in trials_around(settings)]
    assert names == ["automatic", "higher_rate", "lower_rate", "larger_rank"]


def test_it_takes_about_two_trainings():
    assert work(6) == pytest.approx(1 + 1 / 2 + 1 / 3)
    assert work(4) < work(6)
    assert RUNGS[0].trials == 6


def test_the_automatic_settings_always_go_on():
    assert survivors(outcomes(0.1, 0.5, 0.4, 0.6, 0.2, 0.3), 3) == [0, 1, 3]
    assert survivors(outcomes(0.9, 0.5, 0.4), 2) == [0, 1]


def test_a_trial_that_could_not_run_does_not_go_on():
    assert survivors(outcomes(0.5, None, 0.4, losses=[1.0, None, 1.0]), 3) == [0, 2]
    assert winner(outcomes(0.0, None, losses=[1.0, None], prompts=0)) == 0


def test_the_loss_decides_between_equals():
    assert survivors(outcomes(0.5, 0.5, 0.5, losses=[1.0, 0.9, 0.8]), 2) == [0, 2]


@pytest.mark.parametrize(
    ("automatic", "other", "won"),
    [
        (0.50, 0.50, 0),  # a tie
        (0.50, 0.55, 0),  # one of twenty prompts
        (0.50, 0.60, 1),  # two
        (0.60, 0.50, 0),
    ],
)
def test_more_than_one_prompt_is_needed_to_replace_them(automatic, other, won):
    assert winner(outcomes(automatic, other)) == won


def test_a_lower_loss_alone_replaces_them_only_where_no_measure_can_tell():
    assert winner(outcomes(0.5, 0.5, losses=[1.0, 0.1])) == 0
    assert winner(outcomes(None, None, losses=[1.0, 0.9])) == 1
    assert winner(outcomes(None, None, losses=[1.0, 0.99])) == 0
    assert winner(outcomes(None, None, losses=[1.0, None])) == 0
