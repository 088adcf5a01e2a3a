"""The seed-noise floor: how far mIoU differs between seeds of one and the same config."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from dashboards.frames import COLUMNS, PARAM, blank

_IDENTITY = ("role", "pair", "teacher", "student", "method", "budget")
_TAILS = (0.95, 0.05)  # of a 90 % interval, the upper tail first: it gives the lower end


def noise(trials: pd.DataFrame) -> pd.DataFrame:
    """The frame `noise`: standard deviation of mIoU between seeds of one config, pooled over the repeated configs.

    Complete trials of both roles are of one config when all `param.` columns but the seed, and role, pair, teacher,
    student, method and budget (those there are), agree. A repeat with the same seed is no repeat. The interval is the
    chi-square one of a normal sample; it takes the variance to be the same for all configs.

    Returns:
        One row, in units of mIoU; none where no config was repeated.
    """
    final = trials[(trials["state"] == "COMPLETE") & trials["miou"].notna()]
    seeds = [name for name in ("seed", f"{PARAM}seed") if name in final]
    same = [name for name in map(str, final) if name in _IDENTITY or (name.startswith(PARAM) and name not in seeds)]
    final = final.drop_duplicates([*same, *seeds]) if seeds else final
    groups = final.groupby(same, dropna=False, sort=False)["miou"]
    freedom = len(final) - groups.ngroups
    if freedom == 0:
        return blank("noise")
    sd = float(np.sqrt(((final["miou"] - groups.transform("mean")) ** 2).sum() / freedom))
    low, high = sd * np.sqrt(freedom / stats.chi2.ppf(_TAILS, freedom))
    row = (sd, low, high, int((groups.size() > 1).sum()), freedom)
    return pd.DataFrame([row], columns=list(COLUMNS["noise"])).astype(COLUMNS["noise"])


def noise_floor(found: pd.DataFrame) -> float:
    """The standard deviation alone of a frame `noise`; NaN when no config was repeated."""
    return float(found["sd"].iloc[0]) if len(found) else float("nan")
