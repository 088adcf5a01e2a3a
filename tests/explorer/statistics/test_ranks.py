"""Rank correlation of early and final values against scipy and a known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from explorer.statistics.ranks import MIN_TRIALS, ranks


def study(early, final, *, probe=True, state="COMPLETE"):
    """Trials whose value was `early` at step 10 and `final` at step 20."""
    num = len(final)
    trials = pd.DataFrame(
        {"number": range(num), "role": "search", "state": state, "probe": probe, "miou": final, "step": 20}
    )
    curves = pd.DataFrame(
        {
            "role": "search",
            "number": [*range(num)] * 2,
            "step": [10] * num + [20] * num,
            "miou": [*early, *final],
        }
    )
    return trials, curves


def test_the_row_of_a_step_is_spearmans_correlation_with_the_end():
    rng = np.random.default_rng(0)
    final = rng.random(30)
    early = final + rng.normal(0, 0.3, 30)
    (row,) = ranks(*study(early, final)).to_dict("records")
    assert (row["step"], row["num_trials"]) == (10, 30)
    assert row["rho"] == pytest.approx(spearmanr(early, final).statistic)
    assert row["low"] < row["rho"] < row["high"]


def test_nine_in_ten_intervals_hold_the_true_correlation():
    rng = np.random.default_rng(1)
    pearson = 0.6
    truth = 6 / np.pi * np.arcsin(pearson / 2)  # Spearman's correlation of a normal pair
    held = []
    for _ in range(150):
        early, final = rng.multivariate_normal([0, 0], [[1, pearson], [pearson, 1]], 24).T
        (row,) = ranks(*study(early, final)).to_dict("records")
        held.append(row["low"] <= truth <= row["high"])
    assert 0.85 <= np.mean(held) <= 0.95


def test_survivors_do_not_count_once_anything_was_pruned():
    final = np.linspace(0.3, 0.5, 20)
    trials, curves = study(final, final, probe=False)
    assert ranks(trials, curves)["num_trials"].tolist() == [20]
    trials.loc[0, "state"] = "PRUNED"
    assert ranks(trials, curves).empty
    trials.loc[5:, "probe"] = True
    assert ranks(trials, curves)["num_trials"].tolist() == [15]


def test_too_few_or_equal_values_give_no_row():
    few = np.linspace(0.3, 0.4, MIN_TRIALS - 1)
    assert ranks(*study(few, few)).empty
    assert ranks(*study([0.3] * 9, np.linspace(0.3, 0.4, 9))).empty


def test_a_perfect_order_has_a_finite_interval():
    final = np.linspace(0.3, 0.5, 20)
    (row,) = ranks(*study(2 * final, final)).to_dict("records")
    assert row["low"] < row["rho"] <= row["high"] <= 1
