"""Gains at equal steps and at equal compute side by side: of one study, by one model of seeds, configs and luck."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dashboards.frames import COLUMNS, MEASURES
from explorer.statistics.effects import Effects
from explorer.statistics.gains import gains, parts
from explorer.statistics.noise import noise
from explorer.statistics.readings import reading

_BOUNDS = {
    "at least": "The trials are read before their schedules end: a run planned for so little would have more.",
    "at most": "The student alone is read before its schedule ends: planned for so little, it would have more.",
    "about": "Trials and students alone are read before their schedules end.",
}


def both(
    trials: pd.DataFrame, curves: pd.DataFrame, floor: pd.DataFrame, *, own: str, effects: Effects | None = None
) -> pd.DataFrame:
    """The frame `gains` at both measures; what the curves do not reach is a row of NaN with the reason.

    Args:
        trials, curves: the frames.
        floor: the frame `noise`, of whole trials; that of what is read earlier is taken from what is read.
        own: what the study was searched at, steps or compute: there gains are those of whole runs.
        effects: the model of the study, where there is one.
    """
    (other,) = (measure for measure in MEASURES if measure != own)
    here = gains(trials, floor, effects=effects, equal=own)
    if here.empty:
        return here
    told = reading(trials, curves, other)
    read = trials.assign(**{name: told[name].reindex(trials.index) for name in told if name not in trials})
    search = trials["role"] == "search"
    read[["miou", "baseline", "gain"]] = told[["miou", "baseline", "gain"]].reindex(trials.index)
    read["miou"] = read["miou"].where(search, trials["miou"])
    there = gains(read, noise(read), effects=effects, equal=other)
    return pd.concat([here, _remarked(here, there, read[search & trials["gain"].notna()], other)], ignore_index=True)


def _remarked(here: pd.DataFrame, there: pd.DataFrame, read: pd.DataFrame, other: str) -> pd.DataFrame:
    """A row for each of the study's own, with what of it nobody knows."""
    identity = ["pair", "teacher", "student", "method", "statistic"]
    rows = here[identity].merge(there, on=identity, how="left")
    why = {key: _unknown(part) for key, part in parts(read)}
    unknown = [why[pair, method] for pair, method in zip(rows["pair"], rows["method"], strict=True)]
    said = rows["reason"].fillna("") + " " + rows["bound"].map(_BOUNDS).fillna("") + " " + unknown
    rows = rows.assign(reason=said.str.split().str.join(" "), equal=other, bound=rows["bound"].fillna(""))
    rows = rows.assign(distinguishable=_told_apart(rows))
    counts = {name: rows[name].fillna(0) for name in ("num_trials", "num_seeds")}
    return rows.assign(**counts)[list(COLUMNS["gains"])].astype(COLUMNS["gains"])


def _told_apart(rows: pd.DataFrame) -> pd.Series:
    """From 0: a gain of at least so much may be one however low that is, one of at most so much none however high."""
    above, below = (rows["low"] > 0) & (rows["bound"] != "at most"), (rows["high"] < 0) & (rows["bound"] != "at least")
    return (above | below) & (rows["bound"] != "about")


def _unknown(part: pd.DataFrame) -> str:
    """Of how many trials a gain is not known, and why."""
    lost = part[part["gain"].isna()]
    if lost.empty:
        return ""
    return f"Unknown of {len(lost)} of {len(part)} trials: {', '.join(sorted({*lost['why']} - {np.nan}))}."
