"""What trials had when the pruner decided about them: the values that part the stopped from the others."""

from __future__ import annotations

import numpy as np
import pandas as pd

_MOST = 3  # rungs looked at; a pruner that stops anywhere has its stops gathered at this many


def at_rungs(trials: pd.DataFrame, curves: pd.DataFrame | None) -> np.ndarray:
    """mIoU at each rung and in the end.

    A rung is a step at which trials were stopped. A trial stopped between two gathered rungs enters at the later one,
    raised by what the trials that got there have gained in between. Where no curves are given, there are no rungs.

    Args:
        trials: search trials with state, step, miou and number; a trial without the state COMPLETE counts as stopped.
        curves: every reported value of role "search": number, step, miou.

    Returns:
        (rungs + 1, trials) of mIoU, NaN where a trial had ended before; the last row is final.
    """
    complete = (trials["state"] == "COMPLETE").to_numpy()
    final = trials["miou"].where(complete).to_numpy(float)
    stopped = trials.loc[~complete & trials["miou"].notna().to_numpy(), "step"]
    if curves is None or curves.empty or stopped.empty:
        return final[None]
    table = _table(trials, curves)
    rows = [_rung(rung, low, trials, table) for low, rung in _gathered(stopped)]
    return np.vstack([*rows, final])


def _table(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """(trials, steps): the latest value up to each step; NaN before the first and after the last one."""
    rows = curves[curves["role"] == "search"].drop_duplicates(["number", "step"], keep="last")
    table = rows.pivot(index="number", columns="step", values="miou").sort_index(axis=1).reindex(trials["number"])
    known = table.ffill(axis=1)
    return known.where(table.bfill(axis=1).notna()).reset_index(drop=True)


def _gathered(stopped: pd.Series) -> list[tuple[int, int]]:
    """(lowest step, rung) of the stops that count as one rung."""
    steps = np.sort(stopped.unique())
    groups = [steps] if len(steps) == 1 else np.array_split(steps, min(_MOST, len(steps)))
    return [(int(group[0]), int(group[-1])) for group in groups]


def _rung(rung: int, low: int, trials: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    if rung not in table:
        return np.full(len(trials), np.nan)
    values = table[rung].to_numpy(float, copy=True)
    complete = (trials["state"] == "COMPLETE").to_numpy()
    steps = trials["step"].to_numpy()
    for step in np.unique(steps[~complete & (steps >= low) & (steps < rung)]):
        if step in table:
            gained = float(np.nanmean(values - table[step])) if (~np.isnan(values - table[step])).any() else 0.0
            here = ~complete & (steps == step)
            values[here] = table[step].to_numpy(float)[here] + gained
    return values
