"""Importance, surface and noise floor on synthetic trials whose truth is known."""

from __future__ import annotations

import time

import numpy as np
import optuna
import pandas as pd
import pytest

from explorer.sensitivity import IMPORTANCE_COLUMNS, SURFACE_COLUMNS, importance, noise_floor, surface


def frame(num, miou, *, seed=0, **params):
    """Complete search trials; each param is drawn by a function of a generator, miou is computed from the params."""
    rng = np.random.default_rng(seed)
    columns = {f"param.{name}": draw(rng, num) for name, draw in params.items()}
    table = pd.DataFrame(columns)
    table["miou"] = miou(table, rng)
    return table.assign(role="search", state="COMPLETE")


def log_uniform(low, high):
    return lambda rng, num: 10 ** rng.uniform(np.log10(low), np.log10(high), num)


def uniform(rng, num):
    return rng.random(num)


def dimensions(**kinds):
    """name -> "log", "float", "int" or "categorical"."""
    rows = [(name, "float" if kind == "log" else kind, kind == "log") for name, kind in kinds.items()]
    return pd.DataFrame(rows, columns=["name", "kind", "log"])


def strong(table, rng):
    return 0.4 + 0.05 * np.log10(table["param.lambda_kd"]) + 0.005 * rng.normal(size=len(table))


DIMENSIONS = dimensions(lambda_kd="log", temperature="float", kem="categorical")


def strong_trials(num=40, seed=0):
    return frame(
        num,
        strong,
        seed=seed,
        lambda_kd=log_uniform(1e-3, 10),
        temperature=uniform,
        kem=lambda rng, num: rng.random(num) < 0.5,
    )


def by_name(table):
    return table.set_index("dimension")


def test_a_strong_dimension_is_first_and_inert_ones_are_not_identifiable():
    table = importance(strong_trials(), DIMENSIONS, num_bootstrap=60)
    assert list(table.columns) == IMPORTANCE_COLUMNS
    assert table["dimension"][0] == "lambda_kd"
    assert table["identifiable"].tolist() == [True, False, False]
    assert table["mean"][0] > 0.8
    assert table["low"][0] > 0.6
    assert (table["low"] <= table["mean"]).all()
    assert (table["mean"] <= table["high"]).all()
    assert table["reason"][0] == ""
    assert "a shuffled copy reaches" in table["reason"][1]


@pytest.mark.parametrize("num", [10, 24])
def test_pure_noise_identifies_nothing(num):
    for seed in range(3):
        trials = strong_trials(num, seed)
        trials["miou"] = np.random.default_rng(seed).normal(0.4, 0.05, num)
        assert not importance(trials, DIMENSIONS, num_bootstrap=40)["identifiable"].any()


def test_a_log_dimension_is_judged_on_the_log_scale():
    """A step of 0.04 at 30 % of lambda_kd's decades, a slope of 0.03 over temperature: shares by hand .82 and .18.

    On the raw scale the step lies at 0.2 % of the range, so nearly all is temperature's.
    """

    def miou(table, rng):
        decades = (np.log10(table["param.lambda_kd"]) + 3) / 4
        return 0.4 + 0.04 * (decades < 0.3) + 0.03 * table["param.temperature"] + 0.002 * rng.normal(size=len(table))

    trials = frame(60, miou, lambda_kd=log_uniform(1e-3, 10), temperature=uniform)
    log = by_name(importance(trials, dimensions(lambda_kd="log", temperature="float"), num_bootstrap=40))
    raw = by_name(importance(trials, dimensions(lambda_kd="float", temperature="float"), num_bootstrap=40))
    step, slope = 0.04**2 * 0.3 * 0.7, 0.03**2 / 12
    assert log["mean"]["lambda_kd"] == pytest.approx(step / (step + slope), abs=0.1)
    assert raw["mean"]["lambda_kd"] < 0.2


def test_a_category_can_be_identified():
    def miou(table, rng):
        return 0.4 + 0.05 * (table["param.tap"] == "stage4") + 0.005 * rng.normal(size=len(table))

    trials = frame(30, miou, tap=lambda rng, num: rng.choice(["stage3", "stage4"], num), temperature=uniform)
    table = importance(trials, dimensions(temperature="float", tap="categorical"), num_bootstrap=40)
    assert table["dimension"][0] == "tap"
    assert table["identifiable"].tolist() == [True, False]


def test_a_conditional_dimension_is_judged_among_the_trials_that_have_it():
    def miou(table, rng):
        width = np.where(table["param.depth"] > 1, table["param.width"], 0.5)
        return 0.4 + 0.1 * width + 0.004 * rng.normal(size=len(table))

    trials = frame(60, miou, depth=lambda rng, num: rng.integers(1, 4, num), width=uniform)
    trials.loc[trials["param.depth"] == 1, "param.width"] = np.nan
    table = by_name(importance(trials, dimensions(depth="int", width="float"), num_bootstrap=40))
    assert table["identifiable"]["width"]
    assert table["mean"]["width"] > 0.8
    assert not table["identifiable"]["depth"]


def test_fewer_than_eight_complete_trials_identify_nothing():
    trials = strong_trials(7)
    table = importance(trials, DIMENSIONS)
    assert not table["identifiable"].any()
    assert set(table["reason"]) == {"7 complete trials have it; 8 are needed."}
    assert table["mean"].isna().all()
    assert importance(trials.iloc[:0], DIMENSIONS)["reason"][0] == "0 complete trials have it; 8 are needed."


def test_pruned_and_other_trials_do_not_count():
    kept = strong_trials(30)
    pruned = strong_trials(30, seed=1).assign(state="PRUNED", miou=0.1)
    baseline = strong_trials(30, seed=2).assign(role="baseline", miou=0.9)
    both = importance(pd.concat([pruned, kept, baseline]), DIMENSIONS, num_bootstrap=10)
    pd.testing.assert_frame_equal(both, importance(kept, DIMENSIONS, num_bootstrap=10))


def test_dimensions_and_scores_that_do_not_vary_say_so():
    trials = strong_trials(20).assign(**{"param.kem": True})
    reasons = by_name(importance(trials, DIMENSIONS, num_bootstrap=10))["reason"]
    assert reasons["kem"] == "It took a single value."
    flat = importance(trials.assign(miou=0.4), dimensions(lambda_kd="log"))
    assert flat["reason"][0] == "mIoU is the same in all trials that have it."


def test_a_single_deviating_trial_is_survived():
    trials = strong_trials(8)
    trials["miou"] = [0.4] * 7 + [0.5]  # most replicates draw it rarely, some never
    assert not importance(trials, DIMENSIONS, num_bootstrap=30)["identifiable"].any()


def test_a_seed_fixes_the_result():
    first, again, other = (importance(strong_trials(12), DIMENSIONS, seed=s, num_bootstrap=5) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first["mean"].equals(other["mean"])


def test_optuna_stays_as_talkative_as_it_was():
    level = optuna.logging.get_verbosity()
    importance(strong_trials(8), DIMENSIONS, num_bootstrap=2)
    assert optuna.logging.get_verbosity() == level


def test_sixty_trials_of_eight_dimensions_take_seconds():
    names = [f"x{i}" for i in range(8)]
    trials = frame(60, lambda table, rng: table["param.x0"], **dict.fromkeys(names, uniform))
    start = time.process_time()
    importance(trials, dimensions(**dict.fromkeys(names, "float")))
    assert time.process_time() - start < 10  # about 3 s on an idle core


def peak(table, rng):
    """Best at lambda_kd = 0.1, lambda_hakd = 1; falls by 0.02 and 0.01 a squared decade."""
    kd, hakd = np.log10(table["param.lambda_kd"]), np.log10(table["param.lambda_hakd"])
    return 0.5 - 0.02 * (kd + 1) ** 2 - 0.01 * hakd**2 + 0.002 * rng.normal(size=len(table))


def weighted(num=40, seed=0):
    return frame(num, peak, seed=seed, lambda_kd=log_uniform(1e-3, 10), lambda_hakd=log_uniform(1e-2, 30))


def test_surface_recovers_a_known_peak():
    trials = weighted()
    table = surface(trials.assign(pair="a:b"), num_grid=15)
    assert list(table.columns) == SURFACE_COLUMNS
    assert len(table) == 15**2
    truth = 0.5 - 0.02 * (np.log10(table["lambda_kd"]) + 1) ** 2 - 0.01 * np.log10(table["lambda_hakd"]) ** 2
    assert np.sqrt(np.mean((table["miou_mean"] - truth) ** 2)) < 0.01
    best = table.loc[table["miou_mean"].idxmax()]
    assert abs(np.log10(best["lambda_kd"]) + 1) < 0.5
    assert (table["miou_sd"] > 0).all()


def test_surface_spans_the_observed_range_on_a_log_grid():
    trials = weighted(8)
    table = surface(trials, num_grid=5)
    axis = np.geomspace(trials["param.lambda_kd"].min(), trials["param.lambda_kd"].max(), 5)
    np.testing.assert_allclose(np.unique(table["lambda_kd"].round(12)), axis.round(12), rtol=1e-6)
    assert table["pair"].unique().tolist() == [""]


def test_surface_is_surest_where_trials_are():
    trials = weighted(30)
    trials = trials[np.log10(trials["param.lambda_kd"]).between(-3, -1) | (trials.index == 0)]
    trials.loc[0, "param.lambda_kd"] = 10.0
    table = surface(trials)
    near = table["lambda_kd"] < 0.1
    far = table["lambda_kd"].between(0.3, 3)
    assert table["miou_sd"][near].median() < table["miou_sd"][far].median()


def test_surface_draws_each_pair_with_enough_trials():
    enough, few = weighted(6).assign(pair="a:b"), weighted(4, seed=1).assign(pair="c:d")
    pruned = weighted(20, seed=2).assign(pair="c:d", state="PRUNED")
    zero = weighted(6, seed=3).assign(pair="c:d")
    zero["param.lambda_hakd"] = 0.0
    trials = pd.concat([enough, few, pruned, zero])
    assert surface(trials, num_grid=3)["pair"].unique().tolist() == ["a:b"]
    assert surface(trials, pairs=["c:d"]).empty
    named = trials.rename(columns={"pair": "param.pair"})
    assert surface(named, num_grid=3)["pair"].unique().tolist() == ["a:b"]


@pytest.mark.parametrize(
    "trials",
    [
        weighted(0),
        weighted(4),
        weighted(20).assign(**{"param.lambda_kd": 0.1}),
        weighted(20).drop(columns="param.lambda_hakd"),
    ],
)
def test_surface_without_enough_is_empty_with_columns(trials):
    table = surface(trials)
    assert table.empty
    assert list(table.columns) == SURFACE_COLUMNS


def test_surface_of_one_score_is_flat():
    table = surface(weighted(6).assign(miou=0.4), num_grid=3)
    np.testing.assert_allclose(table["miou_mean"], 0.4)


def repeats(*groups):
    rows = [
        {"role": "confirm", "state": "COMPLETE", "seed": seed, "param.lr": lr, "param.kem": None, "miou": miou}
        for lr, scores in groups
        for seed, miou in enumerate(scores)
    ]
    return pd.DataFrame(rows)


def test_noise_floor_pools_the_variance_within_configs():
    scores = [0.40, 0.42, 0.44], [0.50, 0.54]
    pooled = (2 * np.var(scores[0], ddof=1) + 1 * np.var(scores[1], ddof=1)) / 3
    trials = repeats((0.1, scores[0]), (0.2, scores[1]), (0.3, [0.9]))
    assert noise_floor(trials) == pytest.approx(np.sqrt(pooled))


def test_noise_floor_without_repeats_is_unknown():
    trials = repeats((0.1, [0.4]), (0.2, [0.5]))
    assert np.isnan(noise_floor(trials))
    assert np.isnan(noise_floor(trials.iloc[:0]))
    assert np.isnan(noise_floor(repeats((0.1, [0.4, 0.5])).assign(seed=0)))
    assert np.isnan(noise_floor(repeats((0.1, [0.4, 0.5])).assign(state=["COMPLETE", "PRUNED"])))


def test_noise_floor_keeps_pairs_and_roles_apart():
    trials = repeats((0.1, [0.4, 0.5]))
    assert noise_floor(trials) == pytest.approx(0.1 / np.sqrt(2))
    assert np.isnan(noise_floor(trials.assign(pair=["a:b", "c:d"])))
    assert np.isnan(noise_floor(trials.assign(role=["confirm", "search"])))
