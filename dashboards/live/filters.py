"""Filters: which trials of a study are shown."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd

from dashboards.frames import StudyFrames

STATES = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "PAUSED": "paused",
    "WAITING": "waiting",
}
_BY_PAIR = ("surface", "gains", "pooled", "local", "confirmed")
ROLES = {"search": "search trials", "baseline": "students alone"}


@dataclass(frozen=True)
class Filters:
    """The values kept, column by column; an empty one keeps all. `role`, `seed` choose among all trials, the others
    among search trials."""

    pair: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    seed: tuple[int, ...] = ()
    role: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Whether anything is left out."""
        return any(getattr(self, item.name) for item in fields(self))

    @property
    def words(self) -> str:
        """Such as "Filtered: pair a or b, state complete"; empty if nothing is left out."""
        chosen = {item.name: getattr(self, item.name) for item in fields(self)}
        told = [f"{name} {' or '.join(map(word, values))}" for name, values in chosen.items() if values]
        return f"Filtered: {', '.join(told)}" if told else ""


def word(value: str | int) -> str:
    """A value of a filter as it is shown."""
    return {**STATES, **ROLES}.get(str(value), str(value))


def options(frames: StudyFrames) -> dict[str, list[str | int]]:
    """What can be chosen in each filter: the values that occur; states and roles in their own order."""
    trials = frames.trials
    search = trials[trials["role"] == "search"]
    found = {name: sorted(search[name].dropna().unique().tolist()) for name in ("pair", "method")}
    states, roles = set(search["state"]), set(trials["role"])
    return {
        **found,
        "state": [state for state in STATES if state in states],
        "seed": sorted(map(int, trials["seed"].unique())),
        "role": [role for role in ROLES if role in roles],
    }


def apply(frames: StudyFrames, filters: Filters) -> StudyFrames:
    """The frames of the trials kept.

    The students alone of the search trials kept stay, being what these are measured against. Statistics are those of
    the whole study; where they are listed pair by pair, of the pairs kept.
    """
    if not filters.any:
        return frames
    trials = frames.trials
    search = trials["role"] == "search"
    keep = pd.Series(True, index=trials.index)
    for name in ("pair", "method", "state"):
        if chosen := getattr(filters, name):
            keep &= trials[name].isin(chosen) | ~search
    if filters.pair:
        keep &= search | trials["student"].isin(set(trials.loc[search & keep, "student"]))
    for name in ("seed", "role"):
        if chosen := getattr(filters, name):
            keep &= trials[name].isin(chosen)
    return replace(
        frames,
        trials=trials[keep],
        **{name: _of(getattr(frames, name), trials[keep]) for name in ("curves", "taught")},
        **{name: _of_pairs(getattr(frames, name), filters.pair) for name in _BY_PAIR},
    )


def _of(rows: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The rows of these trials."""
    return rows[np.isin(_keys(rows), _keys(trials))]


def _keys(rows: pd.DataFrame) -> np.ndarray:
    """One whole number a trial: tens of thousands of rows are matched in a millisecond."""
    return 2 * rows["number"].to_numpy() + (rows["role"] == "baseline").to_numpy()


def _of_pairs(rows: pd.DataFrame, pairs: tuple[str, ...]) -> pd.DataFrame:
    return rows[rows["pair"].isin(pairs)] if pairs else rows
