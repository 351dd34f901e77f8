"""The bounds that docs/benchmarks/verdicts.md shows, each held on simulated evaluations."""

import pytest

from benchmarks.verdicts import (
    LOOKS,
    PROMPTS,
    SIMULATIONS,
    coverage,
    false_alarms_over_looks,
    power_at,
)

pytestmark = [pytest.mark.long, pytest.mark.no_database]


@pytest.mark.parametrize("prompts", PROMPTS)
@pytest.mark.parametrize("judged_by", SIMULATIONS)
def test_chance_is_called_better_in_at_most_five_of_a_hundred(judged_by, prompts):
    alarms = {
        looks: false_alarms_over_looks(prompts, looks, judged_by=judged_by, goals=2_000, seed=17)
        for looks in LOOKS
    }
    print(f"\n{judged_by}, {prompts} prompts, called better by looks: {alarms}")
    assert max(alarms.values()) <= 0.05


@pytest.mark.parametrize("prompts", [20, 35, 60, 200])
@pytest.mark.parametrize("judged_by", ["pass or fail", "a judge"])
def test_a_real_difference_is_found_as_often_as_theory_says(judged_by, prompts):
    for ties in (0.0, 0.3, 0.6):
        seen, theory = power_at(
            prompts, ties, win_rate=0.75, evaluations=4_000, seed=17, judged_by=judged_by
        )
        print(f"\n{judged_by}, {prompts} prompts, {ties:.0%} ties: {seen:.1%} ({theory:.1%})")
        assert abs(seen - theory) <= 0.03


@pytest.mark.parametrize("prompts", PROMPTS)
def test_intervals_hold_the_truth_as_often_as_they_say(prompts):
    shares = coverage(prompts, evaluations=4_000, seed=17)
    print(f"\n{prompts} prompts: {shares}")
    assert all(0.94 <= share <= 0.96 for share in shares.values())
