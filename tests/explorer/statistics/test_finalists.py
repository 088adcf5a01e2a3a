"""Intervals, Holm's correction and the winner, against hand computations and simulations of known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from explorer.statistics.finalists import ALPHA, holm, interval, p_above, paired, separate

SEEDS = 5


def test_an_interval_is_students_by_hand():
    """Mean 0.42, sd 0.02, n 5: 0.42 -+ 2.1318 * 0.02 / sqrt(5), the factor from a printed table (t, 0.95, 4)."""
    values = [0.40, 0.42, 0.44, 0.42 - 0.02 * 2**0.5 / 2**0.5, 0.44]
    assert np.mean(values) == pytest.approx(0.42)
    assert np.std(values, ddof=1) == pytest.approx(0.02)
    found = interval(values)
    assert found == pytest.approx((0.42, 0.42 - 2.1318 * 0.02 / 5**0.5, 0.42 + 2.1318 * 0.02 / 5**0.5), abs=1e-6)


def test_one_value_has_no_interval_and_none_no_mean():
    assert interval([0.4])[0] == 0.4
    assert np.isnan(interval([0.4])[1:]).all()
    assert np.isnan(interval([])).all()


def test_intervals_of_nine_in_ten_hold_the_truth():
    rng = np.random.default_rng(0)
    draws = rng.normal(0.4, 0.02, (3000, SEEDS))
    held = [found.low <= 0.4 <= found.high for found in map(interval, draws)]
    assert np.mean(held) == pytest.approx(0.90, abs=0.0165)  # 3 sd of the simulation


def test_differences_are_paired_by_seed_and_only_where_both_have_it():
    assert paired({1: 0.5, 2: 0.7, 3: 0.9}, {3: 0.5, 2: 0.6, 9: 0.1}) == pytest.approx([0.1, 0.4])


def test_the_test_is_scipys_paired_one():
    rng = np.random.default_rng(1)
    first, second = rng.normal(0.41, 0.01, SEEDS), rng.normal(0.40, 0.01, SEEDS)
    expected = stats.ttest_rel(first, second, alternative="greater").pvalue
    assert p_above(list(first - second)) == pytest.approx(expected)
    assert p_above([0.1]) == 1.0
    assert (p_above([0.1, 0.1]), p_above([0.0, 0.0])) == (0.0, 1.0)


def test_holm_by_hand():
    """Sorted .005 .01 .03 .04 times 4 3 2 1 is .02 .03 .06 .04; then each is at least the one before."""
    assert holm([0.03, 0.005, 0.04, 0.01]) == pytest.approx([0.06, 0.02, 0.06, 0.03])


def finalists(rng, means, *, seed_sd=0.02, sd=0.01):
    """Scores over SEEDS seeds: what a seed does to all of them, and what it does to one."""
    shared = rng.normal(0, seed_sd, SEEDS)
    return [dict(enumerate(mean + shared + rng.normal(0, sd, SEEDS))) for mean in means]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_equal_finalists_have_a_winner_in_at_most_a_tenth_of_confirmations(count):
    rng = np.random.default_rng(count)
    won = [not separate(finalists(rng, [0.4] * count)).near for _ in range(2000)]
    assert np.mean(won) <= 2 * ALPHA + 0.014  # two sd of the simulation
    if count > 2:
        assert np.mean(won) <= 0.05


def test_two_equal_finalists_above_others_have_a_winner_as_seldom():
    rng = np.random.default_rng(7)
    won = [not separate(finalists(rng, [0.4, 0.4, 0.2, 0.2])).near for _ in range(2000)]
    assert np.mean(won) <= 2 * ALPHA + 0.014


def test_a_clearly_better_finalist_is_found_although_seeds_differ_more():
    rng = np.random.default_rng(3)
    found = [separate(finalists(rng, [0.38, 0.44, 0.38, 0.37], seed_sd=0.05)) for _ in range(500)]
    assert np.mean([one.best == 1 and not one.near for one in found]) >= 0.9


def test_who_is_near_is_named_best_first():
    scores = [{1: 0.50, 2: 0.50, 3: 0.50}, {1: 0.10, 2: 0.11, 3: 0.12}, {1: 0.40, 2: 0.60, 3: 0.49}]
    found = separate(scores)
    assert (found.best, found.near) == (0, [2])
    assert found.p[1] < ALPHA < found.p[2]
