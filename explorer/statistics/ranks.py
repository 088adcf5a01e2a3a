"""Is pruning safe here: do trials keep, to the end, the order they have at a step?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from dashboards.frames import COLUMNS

MIN_TRIALS = 5  # below that, the 90 % interval of a rank correlation is all but [-1, 1]


def ranks(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """The frame `ranks`: Spearman's correlation of mIoU at each step with the final one, with its 90 % interval.

    Only trials count that no pruner could have ended: the probes, or where nothing was pruned all complete search
    trials. Survivors alone would be chosen by what is asked here: those whose value rose in time.

    Source: Fisher's z with the variance of Bonett and Wright, Psychometrika 2000, (1 + rho^2 / 2) / (n - 3).
    """
    search = trials[trials["role"] == "search"]
    whole = search[(search["state"] == "COMPLETE") & search["miou"].notna()]
    if (search["state"] == "PRUNED").any():
        whole = whole[whole["probe"].astype(bool)]
    final = whole[["number", "miou"]].rename(columns={"miou": "final"})
    values = curves[curves["role"] == "search"].dropna(subset="miou").merge(final, on="number")
    early = values[values["step"] < values.groupby("number")["step"].transform("max")]
    rows = [row for step, part in early.groupby("step") if (row := _row(int(str(step)), part))]
    return pd.DataFrame(rows, columns=list(COLUMNS["ranks"])).astype(COLUMNS["ranks"])


def _row(step: int, part: pd.DataFrame) -> tuple[int, int, float, float, float] | None:
    if len(part) < MIN_TRIALS or part["miou"].nunique() == 1 or part["final"].nunique() == 1:
        return None
    rho = float(stats.spearmanr(part["miou"], part["final"]).statistic)
    half = stats.norm.ppf(0.95) * np.sqrt((1 + rho**2 / 2) / (len(part) - 3))
    low, high = np.tanh(np.arctanh(np.clip(rho, -0.9999, 0.9999)) + np.array([-half, half]))
    return step, len(part), rho, float(min(low, rho)), float(max(high, rho))
