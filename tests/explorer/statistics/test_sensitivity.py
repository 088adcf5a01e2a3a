"""The front door: every statistic of a study at once, whatever state it is in."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from dashboards.frames import COLUMNS, StudyFrames
from explorer.statistics.sensitivity import analyse

ANALYSED = ("noise", "importance", "interactions", "gains", "surface", "local", "ranks")
DIMENSIONS = pd.DataFrame(
    [("pair", "categorical", False), ("lambda_kd", "float", True), ("lambda_hakd", "float", True)],
    columns=list(COLUMNS["dimensions"]),
)
STEPS = (10, 20, 30)


def study(num=48, *, seed=0, lost=0.25):
    """Two pairs on two seeds: lambda_kd decides, the other way round in the second pair; some trials are pruned."""
    rng = np.random.default_rng(seed)
    trials, curves = [], []
    for role, count in (("baseline", 4), ("search", num)):
        for number in range(count):
            pair, run = ("a:x", "b:y")[number // 2 % 2], number % 2
            kd, hakd = 10 ** rng.uniform(-3, 1), 10 ** rng.uniform(-2, 1)
            gain = 0.02 * (np.log10(kd) + 1) * (1 if pair == "a:x" else -0.5) if role == "search" else 0.0
            final = 0.4 + 0.01 * run + gain + rng.normal(0, 0.004)
            probe = role == "search" and number % 6 == 0
            pruned = role == "search" and not probe and rng.random() < lost
            values = [final - 0.1, final - 0.05 + rng.normal(0, 0.004), final][: 1 if pruned else 3]
            row = dict.fromkeys(COLUMNS["trials"], np.nan) | {"role": role, "number": number, "seed": run, "budget": 30}
            row |= {"state": "PRUNED" if pruned else "COMPLETE", "student": pair[-1], "method": "task", "probe": probe}
            row |= {"step": STEPS[len(values) - 1], "miou": values[-1]}
            if role == "search":
                row |= {"pair": pair, "teacher": pair[0], "method": "heteroakd", "param.pair": pair}
                row |= {"param.lambda_kd": kd, "param.lambda_hakd": hakd, "gain": final - 0.4 - 0.01 * run}
            trials.append(row)
            curves += [(role, number, step, value) for step, value in zip(STEPS, values, strict=False)]
    table = pd.DataFrame(trials).astype({"probe": bool})
    return StudyFrames(
        trials=table, curves=pd.DataFrame(curves, columns=list(COLUMNS["curves"])), dimensions=DIMENSIONS
    )


@pytest.fixture(scope="module")
def analysed():
    return analyse(study())


def test_every_statistic_is_there_with_its_columns_and_types(analysed):
    for name in ANALYSED:
        table = getattr(analysed, name)
        assert len(table), name
        assert list(table.columns) == list(COLUMNS[name]), name
        for column, kind in COLUMNS[name].items():
            assert kind == "str" or str(table[column].dtype) == kind, (name, column)


def test_the_statistics_agree_on_what_decides(analysed):
    shares = analysed.importance[analysed.importance["question"] == "variance"].set_index("dimension")["mean"]
    assert shares.idxmax() == "lambda_kd"
    first = analysed.interactions.iloc[0]
    assert {first["first"], first["second"]} == {"pair", "lambda_kd"}
    assert first["identifiable"]
    best = analysed.surface.loc[analysed.surface.groupby("pair")["miou_mean"].idxmax()].set_index("pair")["lambda_kd"]
    assert best["a:x"] > 1
    assert best["b:y"] < 0.01
    assert analysed.ranks["rho"].min() > 0.7


def test_trials_and_curves_are_left_alone_and_the_result_is_the_same_again(analysed):
    again = study()
    twice = analyse(again)
    pd.testing.assert_frame_equal(analysed.trials, again.trials)
    pd.testing.assert_frame_equal(analysed.curves, again.curves)
    for name in ANALYSED:
        pd.testing.assert_frame_equal(getattr(twice, name), getattr(analysed, name))


@pytest.mark.parametrize("change", ["empty", "one", "all pruned", "all failed", "one score", "no curves", "unknown"])
def test_a_study_in_any_state_is_analysed(change):
    frames = study(24)
    trials, search = frames.trials, frames.trials["role"] == "search"
    changed = {
        "empty": {"trials": trials.iloc[:0]},
        "one": {"trials": trials[search].head(1)},
        "all pruned": {"trials": trials.assign(state=trials["state"].where(~search, "PRUNED"))},
        "all failed": {"trials": trials.assign(state="FAIL", miou=np.nan, gain=np.nan)},
        "one score": {"trials": trials.assign(miou=0.4, gain=0.0)},
        "no curves": {"curves": frames.curves.iloc[:0]},
        "unknown": {"dimensions": DIMENSIONS.assign(name=["x", "y", "z"])},
    }[change]
    done = analyse(dataclasses.replace(frames, **changed))
    for name in ANALYSED:
        assert list(getattr(done, name).columns) == list(COLUMNS[name])
