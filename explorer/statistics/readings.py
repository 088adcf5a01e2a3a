"""What a trial and its student alone had at equal steps, or at equal compute, whichever of them the study was run at.

A trial of n steps that cost r times a step of its student alone each has had n * r of compute; its student alone has S
steps, and S of compute. Where they are compared they have equally much:

    at equal steps      min(n, S) steps
    at equal compute    min(n * r, S) of compute

Who has had more is read from its own curve there, on a straight line between two reports. A run that is read before its
learning rate has come down scores less than one that was planned to end there. So a trial that is read early gains at
least what is read; where the student alone is, the trial gains at most that. What reaches to within CLOSE is whole.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

CLOSE = 0.05
"""Share of a run by which two may differ and still count as equal: steps are whole, and seconds are noisy."""
KEY = ["student", "seed", "budget"]
"""What a trial has in common with the students alone that it is measured against."""
RIVALS = ["alone", "lead", "spread"]
"""Columns on these students alone: their number, the best one's lead over their mean, and their variance."""
_NUMBERS = ["miou", "baseline", "gain", *RIVALS]
_Curve = tuple[np.ndarray, np.ndarray]  # shares of the run, ascending, and mIoU there


def reading(trials: pd.DataFrame, curves: pd.DataFrame, at: str) -> pd.DataFrame:
    """Scores and gains at equal `at`, one row per complete search trial, on the index of `trials`.

    The baseline is the best of the students alone there. NaN: nobody knows, because the trial's cost is unknown or a
    curve has no report so early.

    Args:
        trials: the trials frame. Costs that students alone lack are 1.
        curves: the curves frame.
        at: steps or compute.

    Returns:
        miou, baseline, gain in [0, 1] or [-1, 1]; RIVALS; early, alone_early: whether the trial, or the student alone,
        was read before its end; why: what is not known, empty where all is.
    """
    whole = trials["miou"].notna() & (trials["state"] == "COMPLETE")
    done, alone = trials[whole & (trials["role"] == "search")], trials[whole & (trials["role"] == "baseline")]
    found = pd.DataFrame(np.nan, done.index, _NUMBERS).assign(early=False, alone_early=False, why="")
    rivals, known = dict(list(alone.groupby(KEY))), _curves(curves)
    for key, part in done.groupby(KEY):
        if key in rivals:
            found.loc[part.index] = _matched(part, rivals[key], known, at)[found.columns]
    return found


def of_finals(trials: pd.DataFrame) -> pd.DataFrame:
    """RIVALS by KEY, of the students alone at their end."""
    done = (trials["role"] == "baseline") & (trials["state"] == "COMPLETE") & trials["miou"].notna()
    scores = trials[done].groupby(KEY)["miou"]
    counts = scores.agg(alone="size", lead="max", spread="var")
    return counts.assign(lead=counts["lead"] - scores.mean()).reset_index()


def _matched(part: pd.DataFrame, alone: pd.DataFrame, known: Mapping[tuple[str, int], _Curve], at: str) -> pd.DataFrame:
    """The rows of `reading` for trials that are measured against the same students alone."""
    had, theirs = _had(part, at), _had(alone, at)
    common = np.minimum(had, part["budget"].to_numpy(float))
    miou = np.array([_at(row, share, known) for row, share in zip(_rows(part), (common / had)[:, None], strict=True)])
    places, of_place = np.unique(common, return_inverse=True)  # NaN is one of them
    told = np.array([_at(row, places / own, known) for row, own in zip(_rows(alone), theirs, strict=True)])
    number = (~np.isnan(told)).sum(axis=0)
    counted = np.maximum(number, 1)
    mean = np.nansum(told, axis=0) / counted
    best = np.where(number > 0, np.max(np.nan_to_num(told, nan=-np.inf), axis=0), np.nan)
    spread = np.where(number > 1, np.nansum((told - mean) ** 2, axis=0) / np.maximum(number - 1, 1), np.nan)
    rows = pd.DataFrame({"miou": miou[:, 0], "baseline": best[of_place]}, index=part.index)
    return rows.assign(
        gain=rows["miou"] - rows["baseline"],
        alone=number[of_place].astype(float),
        lead=(best - mean)[of_place],
        spread=spread[of_place],
        early=common / had < 1 - CLOSE,
        alone_early=(places[:, None] / theirs < 1 - CLOSE).any(axis=1)[of_place],
        why=np.select(
            [np.isnan(common), np.isnan(miou[:, 0]), np.isnan(best[of_place])],
            ["what a step costs is not known", "its curve has no report so early", "no curve of the student alone"],
            "",
        ),
    )


def _had(rows: pd.DataFrame, at: str) -> np.ndarray:
    """What whole trials have had: steps, or compute in steps of the student alone."""
    steps = rows["steps"].to_numpy(float)
    if at == "steps":
        return steps
    costs = rows["relative_cost"].where(rows["role"] == "search", rows["relative_cost"].fillna(1.0))
    return steps * costs.where(costs > 0).to_numpy(float)


def _at(row: tuple[str, int, float], shares: np.ndarray, known: Mapping[tuple[str, int], _Curve]) -> np.ndarray:
    """A trial's mIoU at these shares of its run: its final one near the end, NaN before its first report and beyond."""
    role, number, final = row
    close = np.abs(shares - 1) <= CLOSE
    if close.all() or (role, number) not in known:
        return np.where(close, final, np.nan)
    told = np.interp(shares, *known[role, number], left=np.nan, right=np.nan)
    return np.where(close, final, told)


def _rows(trials: pd.DataFrame) -> list[tuple[str, int, float]]:
    return list(zip(trials["role"], trials["number"], trials["miou"], strict=True))


def _curves(curves: pd.DataFrame) -> dict[tuple[str, int], _Curve]:
    """Steps and mIoU by trial. Every storage keys a whole trial's last report by its budget, so that is share 1."""
    if curves.empty:
        return {}
    rows = curves.sort_values(["role", "number", "step"], kind="stable")
    roles, numbers = rows["role"].to_numpy(), rows["number"].to_numpy()
    starts = np.flatnonzero((roles[1:] != roles[:-1]) | (numbers[1:] != numbers[:-1])) + 1
    steps, scores = (np.split(rows[name].to_numpy(float), starts) for name in ("step", "miou"))
    keys = zip(roles[[0, *starts]], numbers[[0, *starts]], strict=True)
    return {key: (own / own[-1], miou) for key, own, miou in zip(keys, steps, scores, strict=True)}
