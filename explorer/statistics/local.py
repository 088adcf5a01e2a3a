"""Around the best trial: what one dimension does while all others stay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from dashboards.frames import COLUMNS, PARAM
from explorer.statistics import basis
from explorer.statistics.basis import Axis
from explorer.statistics.effects import Effects

_POINTS = 17  # of a number's range

Row = tuple[str, str, float, str, float, float, float, bool]


def local(effects: Effects | None, trials: pd.DataFrame) -> pd.DataFrame:
    """The frame `local`: by pair and dimension, mIoU with its 90 % interval while the others stay as in the pair's best
    complete trial. The interval is that of the function, at the mean of the seeds; a single trial scatters about it.

    A dimension that the best trial does not read has no slice; where a choice decides what else is read, what it does
    not read is left out at that choice.

    Args:
        effects: the model of the study; none: no slices.
        trials: the trials frame.
    """
    rows: list[Row] = []
    if effects is not None:
        complete = trials[(trials["role"] == "search") & (trials["state"] == "COMPLETE") & trials["miou"].notna()]
        named = complete.assign(pair=complete["pair"].map(lambda name: "" if pd.isna(name) else str(name)))
        for pair, part in named.groupby("pair"):
            best = part.loc[part["miou"].idxmax()]
            for name in effects.names:
                if name != "pair" and pd.notna(best[PARAM + name]):
                    rows += _slice(effects, str(pair), name, best, complete)
    return pd.DataFrame(rows, columns=list(COLUMNS["local"])).astype(COLUMNS["local"])


def _slice(effects: Effects, pair: str, name: str, best: pd.Series, complete: pd.DataFrame) -> Iterator[Row]:
    axis = effects.axes[name]
    values = _values(axis, effects.logs[name], best[PARAM + name])
    configs = pd.DataFrame([_with(best, effects, name, value, complete) for value in values])
    drawn = effects.at(configs)
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    for index, value in enumerate(values):
        number = float(index) if axis.kind == "category" else float(value)
        middle = float(drawn[:, index].mean())
        own = str(value) == str(best[PARAM + name]) if axis.kind == "category" else number == float(best[PARAM + name])
        yield pair, name, number, _text(value), middle, float(low[index]), float(high[index]), own


def _values(axis: Axis, log: bool, own: Any) -> list[Any]:
    """Where the slice is cut, by rising value: every choice; of a number, an even grid and the best trial's own."""
    if axis.choices:
        return list(axis.choices)
    grid = np.linspace(axis.low, axis.high, _POINTS)
    return sorted({*((10**grid if log else grid).tolist()), float(own)})


def _with(best: pd.Series, effects: Effects, name: str, value: Any, complete: pd.DataFrame) -> dict[str, Any]:
    """The best config with one value changed, without what trials of that choice do not read."""
    config = {PARAM + other: best[PARAM + other] for other in effects.names} | {PARAM + name: value}
    if effects.axes[name].choices:
        alike = complete[basis.plain(complete[PARAM + name], effects.kinds[name], effects.logs[name]) == value]
        unread = [column for column in config if len(alike) and alike[column].isna().all()]
        config |= dict.fromkeys(unread, np.nan)
    return config


def _text(value: Any) -> str:
    if isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, np.bool_)):
        return f"{value:.4g}"
    return str(value)
