"""The statistics agree with scipy and with independent formulas, and keep their coverage."""

from math import comb

import numpy as np
import pytest
from scipy import stats

from finetune_app.evaluation.verdict.statistics import (
    Split,
    by_group,
    decided_needed,
    detectable_win_rate,
    holm,
    net_gain_interval,
    paired_bootstrap,
    sign_test,
    split_of,
    wilson,
)


def test_sign_test_equals_scipy_and_plain_counting():
    for decided in (1, 2, 7, 20, 61):
        for wins in range(decided + 1):
            ours = sign_test(wins, decided - wins)
            assert ours == pytest.approx(stats.binomtest(wins, decided).pvalue, rel=1e-9)
            least = min(wins, decided - wins)
            tail = sum(comb(decided, k) for k in range(least + 1)) / 2**decided
            assert ours == pytest.approx(min(1, 2 * tail), rel=1e-9)
    assert sign_test(0, 0) == 1
    with pytest.raises(ValueError, match="negative"):
        sign_test(-1, 3)


def test_wilson_equals_scipy():
    for total in (1, 5, 48, 600):
        for wins in {0, 1, total // 3, total - 1, total}:
            reference = stats.binomtest(wins, total).proportion_ci(0.95, method="wilson")
            assert wilson(wins, total) == pytest.approx((reference.low, reference.high), abs=1e-12)
    assert wilson(0, 0) == (0, 1)
    with pytest.raises(ValueError, match="between"):
        wilson(3, 2)


def power(decided: int, win_rate: float) -> float:
    """By definition: the probability of a significant number of wins among `decided`."""
    return sum(
        comb(decided, wins) * win_rate**wins * (1 - win_rate) ** (decided - wins)
        for wins in range(decided // 2 + 1, decided + 1)
        if sign_test(wins, decided - wins) <= 0.05
    )


def test_decided_needed_keeps_its_power_with_any_more_prompts():
    table = {0.9: 12, 0.8: 23, 0.75: 35, 0.7: 54, 0.65: 97, 0.6: 210}
    for rate, needed in table.items():
        assert decided_needed(rate) == needed
        assert power(needed - 1, rate) < 0.8
        assert min(power(size, rate) for size in range(needed, needed + 40)) >= 0.8
    assert decided_needed(0.55) == pytest.approx(807, rel=0.02)
    assert decided_needed(0.501) is None
    assert decided_needed(0.5) is None


def test_detectable_win_rate_has_exactly_its_power():
    for decided in (6, 12, 30, 100):
        rate = detectable_win_rate(decided)
        assert 0.5 < rate < 1
        assert power(decided, rate) == pytest.approx(0.8, abs=1e-6)
    assert detectable_win_rate(5) is None
    assert detectable_win_rate(30, alpha=0.001) > detectable_win_rate(30)


def test_holm_equals_the_published_steps():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


@pytest.mark.parametrize("split", [(41, 12, 7), (3, 57, 1), (0, 60, 0), (5, 0, 5), (10, 2, 0)])
def test_net_gain_interval_solves_tangos_score_equation(split):
    """At each bound the score statistic is exactly the normal quantile."""
    wins, ties, losses = split
    n = wins + ties + losses
    interval = net_gain_interval(Split(*split))
    seen = (wins - losses) / n
    assert -1 <= interval.low <= seen <= interval.high <= 1
    for gain in interval:
        if abs(gain) > 0.999:
            continue
        # The share of losses that is likeliest at this gain, found by brute force.
        shares = np.linspace(max(0, -gain), (1 - gain) / 2, 200_001)[1:-1]
        with np.errstate(divide="ignore"):
            likelihood = (
                wins * np.log(shares + gain)
                + losses * np.log(shares)
                + ties * np.log(1 - 2 * shares - gain)
            )
        share = shares[np.argmax(likelihood)]
        statistic = (wins - losses - n * gain) / (n * (2 * share + gain - gain**2)) ** 0.5
        assert abs(statistic) == pytest.approx(1.96, abs=0.01)


def test_net_gain_interval_covers_the_truth():
    draw = np.random.default_rng(5)
    for shares in ((0.1, 0.85, 0.05), (0.02, 0.96, 0.02), (0.5, 0.2, 0.3)):
        truth, covered = shares[0] - shares[2], 0
        for wins, ties, losses in draw.multinomial(60, shares, size=600):
            low, high = net_gain_interval(Split(int(wins), int(ties), int(losses)))
            covered += low <= truth <= high
        assert covered / 600 >= 0.93


def test_net_gain_interval_is_symmetric_and_open_without_rows():
    low, high = net_gain_interval(Split(9, 30, 2))
    assert net_gain_interval(Split(2, 30, 9)) == pytest.approx((-high, -low), abs=1e-8)
    assert net_gain_interval(Split(0, 0, 0)) == (-1, 1)
    assert net_gain_interval(Split(4, 0, 0)).high == 1


def test_bootstrap_agrees_with_scipys_and_repeats_itself():
    gains = np.random.default_rng(3).normal(0.1, 0.3, 80)
    ours = paired_bootstrap(gains)
    # The confidence whose percentile interval is the expanded one of 95 %.
    expanded = 1 - 2 * stats.norm.sf(stats.t.isf(0.025, 79) * (80 / 79) ** 0.5)
    reference = stats.bootstrap(
        (gains,),
        np.mean,
        n_resamples=20_000,
        confidence_level=expanded,
        method="percentile",
        rng=np.random.default_rng(8),
    ).confidence_interval
    assert ours == pytest.approx((reference.low, reference.high), abs=0.006)
    assert paired_bootstrap(gains) == ours
    assert paired_bootstrap(gains, seed=18) != ours
    with pytest.raises(ValueError, match="at least one"):
        paired_bootstrap([])


def test_bootstrap_of_few_differences_is_as_wide_as_students_interval():
    gains = np.random.default_rng(3).normal(0.1, 0.3, 20)
    low, high = paired_bootstrap(gains)
    student = stats.t.interval(0.95, 19, gains.mean(), stats.sem(gains))
    assert (low, high) == pytest.approx(student, rel=0.05, abs=0.005)


def test_rows_that_share_a_source_widen_the_interval():
    source_gain = np.random.default_rng(4).normal(0, 1, 12)
    gains, groups = np.repeat(source_gain, 10), np.repeat(np.arange(12), 10)
    alone, grouped = paired_bootstrap(gains), paired_bootstrap(gains, groups.tolist())
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)
    of_sources = paired_bootstrap(source_gain)
    assert grouped == pytest.approx(of_sources)


def test_a_group_counts_once():
    assert by_group([1, 1, -1, -1, 0, 1], "aaabbc") == Split(2, 0, 1)
    assert by_group([1, -1, 0], "aab") == Split(0, 2, 0)
    assert split_of([0.5, 0, -2]) == Split(1, 1, 1)
    with pytest.raises(ValueError, match="shorter"):
        by_group([1, 1], "a")
