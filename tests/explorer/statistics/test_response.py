"""The surface over both weights on functions whose best is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dashboards.frames import COLUMNS
from explorer.statistics.response import surface


def peak(kd, hakd):
    """Best at lambda_kd = 0.1, lambda_hakd = 1; falls by 0.02 and 0.01 a squared decade."""
    return 0.5 - 0.02 * (np.log10(kd) + 1) ** 2 - 0.01 * np.log10(hakd) ** 2


def weighted(num=40, seed=0, noise=0.002, pair="a:b"):
    rng = np.random.default_rng(seed)
    kd, hakd = 10 ** rng.uniform(-3, 1, num), 10 ** rng.uniform(-2, 1.5, num)
    return pd.DataFrame(
        {
            "role": "search",
            "state": "COMPLETE",
            "pair": pair,
            "param.lambda_kd": kd,
            "param.lambda_hakd": hakd,
            "miou": peak(kd, hakd) + noise * rng.normal(size=num),
        }
    )


def test_a_known_peak_is_recovered():
    table = surface(weighted(), num_grid=11)
    assert list(table.columns) == list(COLUMNS["surface"])
    assert len(table) == 11**2
    truth = peak(table["lambda_kd"], table["lambda_hakd"])
    assert np.sqrt(np.mean((table["miou_mean"] - truth) ** 2)) < 0.01
    best = table.loc[table["miou_mean"].idxmax()]
    assert abs(np.log10(best["lambda_kd"]) + 1) < 0.5
    assert (table["miou_sd"] > 0).all()


def test_intervals_hold_the_truth_and_the_region_near_the_best_holds_what_is_near_it():
    held, kept, size = [], [], []
    for seed in range(8):
        table = surface(weighted(30, seed, noise=0.01), noise=0.01, num_grid=9)
        truth = peak(table["lambda_kd"], table["lambda_hakd"])
        held.append((np.abs(truth - table["miou_mean"]) <= 1.645 * table["miou_sd"]).mean())
        kept.append(table["near_best"][truth >= truth.max() - 0.01].mean())
        size.append(table["near_best"].mean())
    assert 0.8 <= np.mean(held) <= 0.98
    assert np.mean(kept) >= 0.85
    assert np.mean(size) < 0.5


def test_the_region_near_the_best_shrinks_with_the_noise_between_seeds():
    trials = weighted(60, noise=0.01)
    sizes = [surface(trials, noise=noise, num_grid=9)["near_best"].mean() for noise in (0.002, 0.01)]
    assert sizes[0] < sizes[1] < 1


def test_the_grid_spans_the_observed_range_evenly_on_the_log_scale():
    trials = weighted(8)
    table = surface(trials, num_grid=5)
    axis = np.geomspace(trials["param.lambda_kd"].min(), trials["param.lambda_kd"].max(), 5)
    np.testing.assert_allclose(np.unique(table["lambda_kd"].round(12)), axis.round(12), rtol=1e-6)


def test_it_is_surest_where_trials_are():
    trials = weighted(30)
    trials = trials[np.log10(trials["param.lambda_kd"]).between(-3, -1) | (trials.index == 0)]
    trials.loc[0, "param.lambda_kd"] = 10.0
    table = surface(trials, num_grid=11)
    near, far = table["lambda_kd"] < 0.1, table["lambda_kd"].between(0.3, 3)
    assert table["miou_sd"][near].median() < table["miou_sd"][far].median()


def test_each_pair_with_enough_complete_trials_and_weights_above_zero_is_drawn():
    pruned = weighted(20, seed=2, pair="c:d").assign(state="PRUNED")
    zero = weighted(6, seed=3, pair="c:d").assign(**{"param.lambda_hakd": 0.0})
    trials = pd.concat([weighted(6), weighted(4, seed=1, pair="c:d"), pruned, zero])
    assert surface(trials, num_grid=3)["pair"].unique().tolist() == ["a:b"]
    assert surface(trials, pairs=["c:d"]).empty
    assert surface(weighted(6, pair=None), num_grid=3)["pair"].unique().tolist() == [""]


def test_many_trials_are_averaged_without_moving_the_peak():
    table = surface(weighted(1500, noise=0.01), num_grid=11)
    truth = peak(table["lambda_kd"], table["lambda_hakd"])
    assert np.sqrt(np.mean((table["miou_mean"] - truth) ** 2)) < 0.005


def test_intervals_hold_the_truth_of_many_trials_of_which_noise_hides_most():
    """Noise of 3 points about a peak of 0.7 points (sd over the space): one trial tells nothing, 600 do."""
    held = []
    for seed in range(6):
        trials = weighted(600, seed, noise=0.0)
        trials["miou"] = 0.5 + 0.3 * (trials["miou"] - 0.5) + 0.03 * np.random.default_rng(seed).normal(size=600)
        table = surface(trials, num_grid=9)
        truth = 0.5 + 0.3 * (peak(table["lambda_kd"], table["lambda_hakd"]) - 0.5)
        held.append((np.abs(truth - table["miou_mean"]) <= 1.645 * table["miou_sd"]).mean())
    assert 0.75 <= np.mean(held) <= 0.99


def test_a_text_for_a_weight_is_passed_over():
    trials = weighted(20).astype({"param.lambda_kd": object})
    trials.loc[0, "param.lambda_kd"] = "<b>"
    pd.testing.assert_frame_equal(surface(trials, num_grid=3), surface(weighted(20).iloc[1:], num_grid=3))


@pytest.mark.parametrize(
    "trials",
    [
        weighted(0),
        weighted(4),
        weighted(20).assign(**{"param.lambda_kd": 0.1}),
        weighted(20).drop(columns="param.lambda_hakd"),
    ],
)
def test_without_enough_it_is_empty_with_its_columns(trials):
    table = surface(trials)
    assert table.empty
    assert list(table.columns) == list(COLUMNS["surface"])


def test_one_score_is_flat_and_everywhere_best():
    table = surface(weighted(6).assign(miou=0.4), num_grid=3)
    np.testing.assert_allclose(table["miou_mean"], 0.4)
    assert table["near_best"].all()
