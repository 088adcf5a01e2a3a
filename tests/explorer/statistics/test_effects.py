"""The model of a study, interactions and slices on functions whose Sobol indices are known in closed form."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from explorer.statistics.effects import effects, interval
from explorer.statistics.interactions import interactions
from explorer.statistics.local import local

DIMENSIONS = pd.DataFrame(
    [
        ("pair", "categorical", False),
        ("lambda_kd", "float", True),
        ("lambda_hakd", "float", True),
        ("projector_depth", "int", False),
        ("kem", "categorical", False),
    ],
    columns=["name", "kind", "log"],
)
ROOT = np.sqrt(3)  # sqrt(3) * (2u - 1) has variance 1 for u uniform in [0, 1]


def units(trials):
    """Both weights on [0, 1] of their log ranges, and the pair as -1 or 1."""
    kd = (np.log10(trials["param.lambda_kd"]) + 3) / 4
    hakd = (np.log10(trials["param.lambda_hakd"]) + 2) / 3
    return kd, hakd, np.where(trials["param.pair"] == "a:b", 1.0, -1.0)


def twisted(trials):
    """Variances: pair 4, lambda_kd 1, both together 4, in 1e-4: the second-order index of the two is 4 / 9."""
    kd, _, pair = units(trials)
    return 0.4 + 0.02 * pair + 0.01 * ROOT * (2 * kd - 1) + 0.02 * pair * ROOT * (2 * kd - 1)


def plain(trials):
    kd, hakd, pair = units(trials)
    return 0.4 + 0.02 * pair + 0.02 * ROOT * (2 * kd - 1) + 0.01 * ROOT * (2 * hakd - 1)


def study(num, function, *, noise=0.005, seed=0):
    rng = np.random.default_rng(seed)
    pairs = rng.choice(["a:b", "c:d"], num)
    trials = pd.DataFrame(
        {
            "number": range(num),
            "role": "search",
            "state": "COMPLETE",
            "probe": False,
            "step": 20,
            "seed": 0,
            "pair": pairs,
            "param.pair": pairs,
            "param.lambda_kd": 10 ** rng.uniform(-3, 1, num),
            "param.lambda_hakd": 10 ** rng.uniform(-2, 1, num),
            "param.projector_depth": rng.integers(1, 4, num),
            "param.kem": rng.choice([True, False], num),
        }
    )
    return trials.assign(miou=function(trials) + noise * rng.normal(size=num))


def table_of(trials, **more):
    table = interactions(effects(trials, DIMENSIONS, **more), trials, DIMENSIONS)
    return table, {frozenset((row["first"], row["second"])): row for row in table.to_dict("records")}


def test_an_interaction_is_found_with_its_closed_form_share_and_no_other_is():
    table, rows = table_of(study(60, twisted))
    assert len(table) == 10
    assert table["identifiable"].tolist() == [True] + [False] * 9
    found = rows[frozenset(("pair", "lambda_kd"))]
    assert found["mean"] == pytest.approx(4 / 9, abs=0.08)
    assert table["reason"][0] == ""
    assert table["reason"][1:].str.contains("chance of").all()


def test_intervals_of_interactions_hold_the_truth_and_what_is_not_there_is_rarely_claimed():
    held, claimed = [], []
    for seed in range(12):
        function, truth = ((twisted, 4 / 9), (plain, 0.0))[seed % 2]
        table, rows = table_of(study(40, function, noise=0.01, seed=seed), seed=seed, num_chains=100)
        row = rows[frozenset(("pair", "lambda_kd"))]
        held.append(row["low"] <= truth <= row["high"])
        others = table[table[["first", "second"]].ne(["pair", "lambda_kd"]).any(axis=1) | (truth == 0)]
        claimed.append(others["identifiable"].mean())
    assert np.mean(held) >= 0.8
    assert np.mean(claimed) <= 0.05


def test_few_trials_and_single_values_say_so():
    table, _ = table_of(study(9, twisted))
    assert set(table["reason"]) == {"9 complete trials have both; 12 are needed."}
    assert not table["identifiable"].any()
    trials = study(30, twisted).assign(**{"param.kem": True})
    _, rows = table_of(trials)
    assert rows[frozenset(("pair", "kem"))]["reason"] == "kem took a single value."
    assert effects(study(30, twisted).assign(miou=0.4), DIMENSIONS) is None
    assert effects(study(0, plain), DIMENSIONS) is None


def test_the_model_predicts_with_honest_intervals():
    held = []
    for seed in range(6):
        model = effects(study(40, twisted, noise=0.01, seed=seed), DIMENSIONS, seed=seed, num_chains=100)
        fresh = study(60, twisted, noise=0, seed=100 + seed)
        low, high = np.quantile(model.at(fresh), [0.05, 0.95], axis=0)
        held.append(((low <= fresh["miou"]) & (fresh["miou"] <= high)).mean())
    assert 0.8 <= np.mean(held) <= 0.99


def test_pruned_trials_do_not_lift_what_the_model_expects():
    """Half of the trials are stopped, those that are unlucky early; survivors alone are lucky."""
    rng = np.random.default_rng(3)
    trials = study(120, plain, noise=0)
    luck = rng.normal(0, 0.03, 120)
    early, final = trials["miou"] - 0.1 + luck, trials["miou"] + luck + rng.normal(0, 0.005, 120)
    stopped = early < early.median()
    truth = float(trials["miou"].mean())
    trials = trials.assign(
        state=np.where(stopped, "PRUNED", "COMPLETE"), step=np.where(stopped, 10, 20), miou=final.where(~stopped, early)
    )
    curves = pd.concat(
        [
            pd.DataFrame({"role": "search", "number": trials["number"], "step": 10, "miou": early}),
            pd.DataFrame({"role": "search", "number": trials["number"], "step": 20, "miou": final})[~stopped],
        ]
    )
    everywhere = study(200, plain, seed=9)
    guess, survivors = (float(effects(trials, DIMENSIONS, given).at(everywhere).mean()) for given in (curves, None))
    assert guess == pytest.approx(truth, abs=0.01)
    assert survivors > truth + 0.01


def test_a_slice_changes_one_dimension_of_the_pairs_best_trial():
    trials = study(60, twisted, noise=0.002)
    table = local(effects(trials, DIMENSIONS), trials)
    assert set(table["pair"]) == {"a:b", "c:d"}
    assert "pair" not in set(table["dimension"])
    for pair, part in table[table["dimension"] == "lambda_kd"].groupby("pair"):
        best = trials.loc[trials[trials["pair"] == pair]["miou"].idxmax()]
        assert part[part["best"]]["value"].tolist() == [best["param.lambda_kd"]]
        configs = pd.DataFrame({"param.lambda_kd": part["value"], "param.pair": pair})
        truth = twisted(configs.assign(**{"param.lambda_hakd": 1.0}))
        np.testing.assert_allclose(part["miou_mean"], truth, atol=0.006)
        assert ((part["miou_low"] <= part["miou_mean"]) & (part["miou_mean"] <= part["miou_high"])).all()
        assert part["value"].is_monotonic_increasing
    kem = table[(table["dimension"] == "kem") & (table["pair"] == "a:b")]
    assert kem["label"].tolist() == ["False", "True"]
    assert kem["best"].sum() == 1


def test_slices_hold_the_truth_where_a_dimension_hangs_on_another():
    """projector_width is read from depth 2 on; the slice over depth leaves it out at depth 1."""
    trials = study(60, plain, noise=0.003)
    width = 2.0 ** np.random.default_rng(5).integers(5, 9, 60)
    trials["param.projector_width"] = np.where(trials["param.projector_depth"] > 1, width, np.nan)
    trials["miou"] += np.nan_to_num(0.01 * (np.log2(trials["param.projector_width"]) - 6.5))
    dimensions = pd.concat([DIMENSIONS, pd.DataFrame([("projector_width", "int", True)], columns=DIMENSIONS.columns)])
    table = local(effects(trials, dimensions), trials)
    width = table[table["dimension"] == "projector_width"]
    for _, part in width.groupby("pair"):
        step = part["miou_mean"].iloc[-1] - part["miou_mean"].iloc[0]
        assert step == pytest.approx(0.03, abs=0.01)
    for pair, part in table[table["dimension"] == "projector_depth"].groupby("pair"):
        best = trials.loc[trials[trials["pair"] == pair]["miou"].idxmax()]
        assert best["param.projector_depth"] > 1
        width_alone = 0.01 * (np.log2(best["param.projector_width"]) - 6.5)
        at_one, at_two = part["miou_mean"].iloc[:2]
        assert at_two - at_one == pytest.approx(width_alone, abs=0.006)


def test_no_model_gives_no_slices():
    table = local(None, study(3, plain))
    assert table.empty
    assert "miou_mean" in table


@pytest.mark.parametrize(("inside", "low", "high"), [(0.9, 0.05, 0.95), (0.95, 0.025, 0.975)])
def test_an_interval_is_made_of_as_many_draws_as_asked(inside, low, high):
    assert interval(np.arange(1001) / 1000, inside=inside) == pytest.approx((0.5, low, high))


def test_an_interval_holds_its_mean_where_few_draws_are_apart():
    assert interval(np.r_[np.zeros(99), 100.0]) == (1.0, 0.0, 1.0)
