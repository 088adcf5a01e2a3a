"""The seed-noise floor against hand-computed variances and against a known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from explorer.statistics.noise import noise, noise_floor


def repeats(*groups):
    rows = [
        {"role": "search", "state": "COMPLETE", "seed": seed, "param.lr": lr, "param.kem": None, "miou": miou}
        for lr, scores in groups
        for seed, miou in enumerate(scores)
    ]
    return pd.DataFrame(rows)


def test_noise_pools_the_variance_within_configs_and_counts_its_freedom():
    scores = [0.40, 0.42, 0.44], [0.50, 0.54]
    pooled = (2 * np.var(scores[0], ddof=1) + 1 * np.var(scores[1], ddof=1)) / 3
    (row,) = noise(repeats((0.1, scores[0]), (0.2, scores[1]), (0.3, [0.9]))).to_dict("records")
    assert row["sd"] == pytest.approx(np.sqrt(pooled))
    assert (row["num_configs"], row["freedom"]) == (2, 3)
    assert row["low"] == pytest.approx(np.sqrt(3 * pooled / chi2.ppf(0.95, 3)))
    assert row["high"] == pytest.approx(np.sqrt(3 * pooled / chi2.ppf(0.05, 3)))


def test_nine_in_ten_intervals_hold_the_true_noise():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):
        (row,) = noise(repeats((0.1, rng.normal(0.4, 0.02, 3)), (0.2, rng.normal(0.5, 0.02, 4)))).to_dict("records")
        held.append(row["low"] <= 0.02 <= row["high"])
    assert 0.85 <= np.mean(held) <= 0.95


def test_without_repeats_there_is_no_noise_to_see():
    trials = repeats((0.1, [0.4]), (0.2, [0.5]))
    assert noise(trials).empty
    assert np.isnan(noise_floor(noise(trials)))
    assert noise(trials.iloc[:0]).empty
    assert noise(repeats((0.1, [0.4, 0.5])).assign(seed=0)).empty
    assert noise(repeats((0.1, [0.4, 0.5])).assign(state=["COMPLETE", "PRUNED"])).empty


def test_pairs_roles_and_budgets_are_kept_apart():
    trials = repeats((0.1, [0.4, 0.5]))
    assert noise_floor(noise(trials)) == pytest.approx(0.1 / np.sqrt(2))
    for column in ({"pair": ["a:b", "c:d"]}, {"role": ["baseline", "search"]}, {"budget": [10, 20]}):
        assert noise(trials.assign(**column)).empty
