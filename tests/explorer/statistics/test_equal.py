"""Gains at equal steps and at equal compute out of one study's curves; readings by hand, intervals of a known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from explorer.statistics.equal import both
from explorer.statistics.noise import noise
from explorer.statistics.readings import of_finals, reading

CURVE = {10: 0.10, 20: 0.20, 30: 0.30, 40: 0.40, 50: 0.45, 60: 0.50}
ALONE = {10: 0.05, 20: 0.15, 30: 0.18, 40: 0.20, 50: 0.22, 60: 0.25}
NAN = float("nan")


def study(*trials):
    """Frames of (role, seed, {step: mIoU}, further columns)."""
    rows, drawn = [], []
    for number, (role, seed, curve, more) in enumerate(trials):
        row = {"role": role, "number": number, "state": "COMPLETE", "student": "s", "seed": seed, "budget": 60}
        row |= {"steps": 60, "relative_cost": NAN, "miou": curve[max(curve)], "probe": False}
        rows.append(row | more)
        drawn += [(role, number, step, value) for step, value in curve.items()]
    return pd.DataFrame(rows), pd.DataFrame(drawn, columns=["role", "number", "step", "miou"])


def read(at, *, curve=CURVE, alone=(ALONE,), **more):
    frames = study(*(("baseline", 0, one, {}) for one in alone), ("search", 0, curve, more))
    return reading(*frames, at).iloc[0]


@pytest.mark.parametrize(("cost", "value"), [(2.0, 0.30), (2.4, 0.25), (1.25, 0.44), (1.04, 0.50)])
def test_of_a_costly_trial_the_curve_is_read_where_it_has_cost_what_the_student_alone_did(cost, value):
    """At 60 / cost steps, between two reports on a straight line; within 5 % of the whole it is whole."""
    found = read("compute", relative_cost=cost)
    assert found["miou"] == pytest.approx(value)
    assert found["gain"] == pytest.approx(value - 0.25)
    assert (found["early"], found["alone_early"]) == (cost > 1.05, False)
    assert read("steps", relative_cost=cost)["gain"] == pytest.approx(0.25)


def test_a_cheaper_trial_is_whole_and_the_student_alone_is_read_early():
    found = read("compute", relative_cost=0.75)
    assert found["gain"] == pytest.approx(0.50 - (0.20 + 0.25) / 2 + (0.25 - 0.22) / 2)  # of 45 steps: 0.21
    assert (found["early"], found["alone_early"]) == (False, True)


def test_of_a_study_at_equal_compute_the_student_alone_is_read_at_the_trials_steps():
    """A trial of 24 steps, which its storage keys by those of the student alone."""
    found = read("steps", steps=24, relative_cost=2.5)
    assert found["gain"] == pytest.approx(0.50 - (0.15 + 0.4 * 0.03))
    assert (found["early"], found["alone_early"]) == (False, True)
    assert read("compute", steps=24, relative_cost=2.5)["gain"] == pytest.approx(0.25)


def test_a_trial_that_could_not_be_made_cheap_enough_is_read_where_it_had_cost_as_much():
    """6 steps of 25: of 150, the first 60 are 0.4 of its run, between the reports at 20 and 30 of 60."""
    assert read("compute", steps=6, relative_cost=25.0)["miou"] == pytest.approx(0.24)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"relative_cost": 8.0}, "its curve has no report so early"),
        ({"relative_cost": NAN}, "what a step costs is not known"),
        ({"relative_cost": 0.1}, "no curve of the student alone"),
    ],
)
def test_what_no_curve_reaches_is_unknown(more, why):
    found = read("compute", **more)
    assert np.isnan(found["gain"])
    assert found["why"] == why


def test_the_best_student_alone_is_the_one_that_is_best_there():
    late = {10: 0.01, 20: 0.02, 30: 0.03, 40: 0.04, 50: 0.2, 60: 0.4}
    early = read("steps", alone=(ALONE, late), steps=30, relative_cost=2.0)
    assert early["baseline"] == pytest.approx(0.18)
    assert (early["alone"], early["lead"]) == (2, pytest.approx(0.075))
    assert early["spread"] == pytest.approx(2 * 0.075**2)
    whole = read("steps", alone=(ALONE, late))
    finals = of_finals(study(("baseline", 0, ALONE, {}), ("baseline", 0, late, {}))[0]).iloc[0]
    assert whole["baseline"] == 0.4
    for name in ("alone", "lead", "spread"):
        assert finals[name] == pytest.approx(whole[name])


def test_a_dearer_student_alone_is_read_where_it_has_cost_as_much():
    """With pseudo-labels of its own, say: 40 steps of 1.5; at 30 steps of the trial it is at 0.75 of its run."""
    trials, curves = study(
        ("baseline", 0, ALONE, {"steps": 40, "relative_cost": 1.5}),
        ("search", 0, CURVE, {"steps": 30, "relative_cost": 2.0}),
    )
    assert reading(trials, curves, "steps").iloc[0]["baseline"] == pytest.approx(0.21)
    assert reading(trials, curves, "compute").iloc[0]["baseline"] == pytest.approx(0.25)


def pair(rng, *, cost=2.0, gain=0.03, num=12, seeds=4, reports=6):
    """A pair whose trials gain `gain` at their whole, and half of that less 0.05 at half their curves."""
    steps = [60 * number // reports for number in range(1, reports + 1)]
    luck, trials = rng.normal(0, 0.01, seeds), []
    for seed in range(seeds):
        trials.append(("baseline", seed, dict.fromkeys(steps, 0.4 + luck[seed] + rng.normal(0, 0.005)), {}))
    for number in range(num):
        seed = number % seeds
        final = 0.4 + gain + luck[seed] + rng.normal(0, 0.005)
        named = {"pair": "t:s", "teacher": "t", "method": ("kd", "cwd")[number // seeds % 2], "param.lr": number}
        named |= {"relative_cost": cost, "gain": final - trials[seed][2][60]}
        trials.append(("search", seed, {step: final - 0.1 * (1 - step / 60) for step in steps}, named))
    table, curves = study(*trials)
    table[["pair", "teacher", "method"]] = table[["pair", "teacher", "method"]].fillna("task")
    return table, curves


def test_both_stand_side_by_side_with_intervals_that_hold_the_truth():
    held = []
    for seed in range(2, 8):
        trials, curves = pair(np.random.default_rng(seed))
        table = both(trials, curves, noise(trials), own="steps")
        typical = table[(table["statistic"] == "typical") & (table["method"] == "")].set_index("equal")
        assert list(typical.index) == ["steps", "compute"]
        assert list(typical["bound"]) == ["", "at least"]
        assert typical["gain"]["steps"] - typical["gain"]["compute"] == pytest.approx(0.05, abs=0.004)
        for measure, truth in (("steps", 0.03), ("compute", -0.02)):
            held.append(typical["low"][measure] <= truth <= typical["high"][measure])
        assert "would have more" in typical["reason"]["compute"]
        assert typical["high"]["compute"] < 0
        assert not typical["distinguishable"]["compute"]  # "at least" a loss may be a gain
    assert np.mean(held) >= 0.75  # of 12; how often such intervals hold the truth is benchmarks/intervals.py


def test_rows_come_for_both_of_each_pair_and_method():
    trials, curves = pair(np.random.default_rng(0))
    table = both(trials, curves, noise(trials), own="compute")
    rows = table.groupby("equal")[["method", "statistic"]].apply(lambda part: sorted(map(tuple, part.to_numpy())))
    assert rows["steps"] == rows["compute"] == [(m, s) for m in ("", "cwd", "kd") for s in ("best", "typical")]
    assert set(table["bound"]) == {""}  # each had 60 steps, and is taken to have cost what its student alone did
    assert not table.isna().any(axis=None)


def test_an_unknown_gain_has_a_row_of_its_own_that_says_why():
    trials, curves = pair(np.random.default_rng(0), reports=1)
    table = both(trials, curves, noise(trials), own="steps").set_index("equal")
    unknown = table.loc["compute"]
    assert len(unknown) == 6
    assert unknown[["gain", "low", "high"]].isna().all(axis=None)
    assert not unknown["distinguishable"].any()
    assert set(unknown["num_trials"]) == {0}
    assert set(unknown["reason"]) == {
        f"Unknown of {count} of {count} trials: its curve has no report so early." for count in (4, 8, 12)
    }


def test_some_trials_that_no_curve_reaches_are_counted():
    trials, curves = pair(np.random.default_rng(0))
    trials.loc[trials.index[-1], "relative_cost"] = NAN
    table = both(trials, curves, noise(trials), own="steps")
    read = table[(table["equal"] == "compute") & (table["statistic"] == "typical")]
    (row,) = read[read["method"] == ""].itertuples()
    assert row.num_trials == 11
    assert "Unknown of 1 of 12 trials: what a step costs is not known." in row.reason
    assert both(trials.iloc[:0], curves, noise(trials), own="steps").empty
