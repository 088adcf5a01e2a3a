"""What another ten trials bring, against all choices of what might have been missed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from explorer.statistics.further import expected, missed


@pytest.mark.parametrize("taken", [1, 2, 3, 5])
def test_missed_is_the_mean_over_all_choices(taken):
    values = np.array([0.3, 0.9, 0.5, 0.5, 0.1, 0.8])
    kept = [max(rest) for rest in itertools.combinations(values, len(values) - taken)]
    assert missed(values, taken) == pytest.approx(0.9 - np.mean(kept))


def test_nothing_taken_is_nothing_missed_nor_where_all_are_equal():
    assert missed(np.array([0.3, 0.9]), 0) == 0
    assert missed(np.full(9, 0.4), 3) == 0


def test_expected_by_hand():
    means = np.array([0.40] * 9 + [0.50])  # of 40 trials ten were whole, so 2.5 of the next ten are
    chance = (2 / 10 + 3 / 10) / 2  # that the best is among two, or three, of ten
    assert expected(means, 40) == pytest.approx(0.1 * chance * math.log(50 / 40) / math.log(40 / 30))


def test_too_few_say_nothing():
    means = np.linspace(0.4, 0.5, 8)
    assert math.isnan(expected(means, 19))
    assert math.isnan(expected(means[:7], 40))
    assert expected(means, 20) > 0


@pytest.mark.parametrize("scale", [0.01, 0.04])
def test_on_average_it_is_what_ten_more_random_draws_bring(scale):
    """Of an exponential tail the highest of n draws is sum(1 / k for k <= n) on average."""
    rng = np.random.default_rng(0)
    told = np.mean([expected(rng.exponential(scale, 40), 40) for _ in range(4000)])
    assert told == pytest.approx(scale * sum(1 / k for k in range(41, 51)), rel=0.05)
