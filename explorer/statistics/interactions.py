"""What two dimensions decide only together: the lambda that suits one pair and not another."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from dashboards.frames import COLUMNS, PARAM
from explorer.statistics.effects import MIN_TRIALS, Effects, interval

SURE = 0.95  # probability that an interaction is there, from which on it counts as identifiable

Row = tuple[str, str, float, float, float, bool, str]


def interactions(effects: Effects | None, trials: pd.DataFrame, dimensions: pd.DataFrame) -> pd.DataFrame:
    """The frame `interactions`, the largest first: of every two dimensions, their share of the variance of mIoU over
    the space, seed noise left out, that neither explains alone (the second-order Sobol index), with its 90 % interval.

    An interaction is identifiable when the draws of the model agree that there is one: its interval does not reach 0.
    Where noise hides most of it, a true interaction is taken for too small or none: claims are safer than denials.

    Args:
        effects: the model of the study; none: too few trials.
        trials: the trials frame.
        dimensions: the dimensions frame.
    """
    shares = {} if effects is None else effects.shares()
    rows = [_row(pair, shares.get(pair), trials) for pair in combinations(dimensions["name"], 2)]
    table = pd.DataFrame(rows, columns=list(COLUMNS["interactions"])).astype(COLUMNS["interactions"])
    return table.sort_values(["identifiable", "mean"], ascending=False, kind="stable", ignore_index=True)


def _row(pair: tuple[str, str], share: np.ndarray | None, trials: pd.DataFrame) -> Row:
    reason = _why_not(pair, share, trials)
    if share is None or reason:
        return (*pair, np.nan, np.nan, np.nan, False, reason)
    mean, low, high = interval(share)
    none = float((share == 0).mean())
    known = bool(low > 0 and none <= 1 - SURE)
    reason = "" if known else f"The trials leave a chance of {100 * none:.0f} % that there is none."
    return (*pair, mean, low, high, known, reason)


def _why_not(pair: tuple[str, str], share: np.ndarray | None, trials: pd.DataFrame) -> str:
    """Why nothing can be said at all; empty when something can."""
    complete = trials[(trials["role"] == "search") & (trials["state"] == "COMPLETE") & trials["miou"].notna()]
    held = complete.reindex(columns=[PARAM + name for name in pair]).dropna()
    if len(held) < MIN_TRIALS:
        return f"{len(held)} complete trials have both; {MIN_TRIALS} are needed."
    for name in pair:
        if held[PARAM + name].nunique() == 1:
            return f"{name} took a single value."
    return "" if share is not None else "mIoU is the same in all trials, or a list is too long."
