"""The frames `believed`, what each config has on average over seeds as far as trials tell, and `further`."""

from __future__ import annotations

import math

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtri

from dashboards.frames import COLUMNS, blank
from explorer.search import belief, further, warm

_HALF = float(ndtri(0.95))  # of a 90 % interval, in standard deviations


def further_frame(search: optuna.Study) -> pd.DataFrame:
    """What another ten trials were expected to bring, one row per number of ended trials."""
    told = further.history(search.get_trials(deepcopy=False))
    return pd.DataFrame(told, columns=list(COLUMNS["further"])).astype(COLUMNS["further"])


def frame(search: optuna.Study, trials: pd.DataFrame, *, gains: bool = True) -> pd.DataFrame:
    """One row per complete search trial, equal for the runs of one config.

    The belief that proposes and stops ranks here too. It knows the trials of a warm start, which have no row.

    Args:
        trials: the trials frame, for their gains.
        gains: what is believed of gains, too, by a forest of its own; without, NaN. Only an order by gain reads it.
    """
    every = search.get_trials(deepcopy=False)
    found = belief.believed(every)
    if found is None:
        return blank("believed")
    own = [trial for trial in warm.own(search) if trial.state == TrialState.COMPLETE]
    gained = _gained(own, trials) if gains else None
    table = []
    for trial in own:
        half = _HALF * found.sd(trial) if found.belief.freedom else math.nan  # luck that is not known has no interval
        mean = found.mean(trial)
        gain = math.nan if gained is None or not gained.knows(trial) else gained.mean(trial)
        table.append((trial.number, found.runs(trial), mean, mean - half, mean + half, gain))
    return pd.DataFrame(table, columns=list(COLUMNS["believed"])).astype(COLUMNS["believed"])


def _gained(own: list[FrozenTrial], trials: pd.DataFrame) -> belief.Believed | None:
    rows = trials[(trials["role"] == "search") & (trials["state"] == "COMPLETE") & trials["gain"].notna()]
    gains = dict(zip(rows["number"].tolist(), rows["gain"].tolist(), strict=True))
    return belief.believed([trial for trial in own if trial.number in gains], score=lambda one: gains[one.number])
