"""mIoU as a function of the config, in draws: what dimensions do by themselves and two by two.

One model of final mIoU for every question about dimensions. A pruned trial has no final mIoU; which ones were pruned
depends on what they had at their rungs, so each rung is modelled too, from all trials that reached it, and what a
trial had there beyond its model (its luck, which the pruner rewards) is a covariate of what it had later. Given that,
having survived says nothing more.

Source: selection that depends on what was seen can be ignored: Rubin, Biometrika 1976.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from dashboards.frames import PARAM
from explorer import basis, surrogate
from explorer.basis import Axis, Key
from explorer.conditions import condition
from explorer.rungs import at_rungs
from explorer.surrogate import Block

MIN_TRIALS = 12
NUM_CHAINS = 200

_ABSENT_ALONE, _ABSENT_MORE = 0.6, 0.8  # prior probability that a dimension, or two together, do nothing
_MOST = 300  # more trials are thinned: the cost grows with them, the intervals are narrow anyway
_MOST_CHOICES = 12  # of a category that acts together with another one


Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Effects:
    """Attributes:
    axes: by dimension, those that vary.
    logs: which of them are on the log scale; kinds: "float", "int" or "categorical".
    chance: share of the space in which a dimension is read.
    level: (draws,) of mIoU; draws: block -> coefficients (draws, columns).
    """

    axes: Mapping[str, Axis]
    kinds: Mapping[str, str]
    logs: Mapping[str, bool]
    chance: Mapping[str, float]
    level: np.ndarray
    draws: Mapping[Key, np.ndarray]

    def shares(self) -> dict[Key, np.ndarray]:
        """Block -> (draws,) of its share of the variance over the space; 0 in a draw that explains nothing."""
        parts = {
            key: (draws**2).sum(axis=1) * np.prod([self.chance[name] for name in {*key}])
            for key, draws in self.draws.items()
        }
        total = np.maximum(np.sum(list(parts.values()), axis=0), 1e-300)
        return {key: part / total for key, part in parts.items()}

    def at(self, configs: pd.DataFrame) -> np.ndarray:
        """(draws, rows): mIoU of configs, given as columns `param.<dimension>`, NaN where not read."""
        values = {name: basis.plain(configs[PARAM + name], self.kinds[name], self.logs[name]) for name in self.axes}
        columns = basis.design(
            self.axes,
            {name: self.axes[name].place(column) for name, column in values.items()},
            {name: column.notna().to_numpy() for name, column in values.items()},
        )
        return self.level[:, None] + sum(draws @ columns[key].T for key, draws in self.draws.items())


def effects(
    trials: pd.DataFrame,
    dimensions: pd.DataFrame,
    curves: pd.DataFrame | None = None,
    *,
    seed: int = 0,
    num_chains: int = NUM_CHAINS,
) -> Effects | None:
    """The model of a study's search trials; none where fewer than 12 are complete, or nothing varies.

    Args:
        trials: the trials frame.
        dimensions: columns name, kind and log.
        curves: the curves frame; without it pruned trials are left out.
        num_chains: draws; the cost is linear in it.
    """
    rng = np.random.default_rng(seed)
    group = _group(trials, dimensions, rng)
    complete = group[group["state"] == "COMPLETE"]
    names = [name for name in dimensions["name"] if complete[PARAM + name].nunique() > 1]
    if len(complete) < MIN_TRIALS or not names or complete["miou"].nunique() == 1:
        return None
    kinds, logs = (dict(zip(dimensions["name"], dimensions[part], strict=True)) for part in ("kind", "log"))
    rows = dimensions.drop_duplicates("name").set_index("name", drop=False)
    axes = {name: axis_of(group[PARAM + name], rows.loc[name]) for name in names}
    blocks = _blocks(group, axes)
    level, found = through_rungs(at_rungs(group, curves), blocks, rng, num_chains)
    draws = {key: found[key] for key in blocks}
    chance = {name: condition(group, name, names)[1] for name in names}
    return Effects(axes, kinds, logs, chance, level, draws)


def _group(trials: pd.DataFrame, dimensions: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Search trials that ended with a score, at most _MOST, probes first; dimensions as plain values."""
    ended = trials["state"].isin(["COMPLETE", "PRUNED"]) & np.isfinite(trials["miou"].astype(float))
    rows = trials[(trials["role"] == "search") & ended]
    if len(rows) > _MOST:
        order = rng.permutation(len(rows))
        first = np.argsort(~rows["probe"].to_numpy(bool)[order], kind="stable")
        rows = rows.iloc[np.sort(order[first][:_MOST])]
    rows = rows.reset_index(drop=True)
    for name, kind, log in dimensions[["name", "kind", "log"]].itertuples(index=False):
        values = rows.get(PARAM + name, pd.Series(np.nan, index=rows.index))
        rows[PARAM + name] = basis.plain(values, kind, log)
    return rows


def _blocks(group: pd.DataFrame, axes: Mapping[str, Axis]) -> dict[Key, Block]:
    columns = basis.design(
        axes,
        {name: axis.place(group[PARAM + name]) for name, axis in axes.items()},
        {name: group[PARAM + name].notna().to_numpy() for name in axes},
    )
    return {
        key: Block(values, basis.weights(axes, key, values.shape[1]), _ABSENT_ALONE if len(key) == 1 else _ABSENT_MORE)
        for key, values in columns.items()
        if len(key) == 1 or all(len(axes[name].choices) <= _MOST_CHOICES for name in key)
    }


def axis_of(values: pd.Series, dimension: pd.Series) -> Axis:
    """The axis of a dimension.

    Args:
        values: `basis.plain` ones, of which at least two differ.
        dimension: name, kind, log, and where the ends of the space are known, low and high.
    """
    ends = basis.plain(dimension.reindex(["low", "high"]), "float", bool(dimension["log"]))
    return Axis.of(values, dimension["kind"], bool(dimension["log"]), (ends["low"], ends["high"]))


def through_rungs(
    values: np.ndarray,
    blocks: Mapping[Name, Block],
    rng: np.random.Generator,
    num_chains: int,
    *,
    num_draws: int = 1,
) -> tuple[np.ndarray, dict[Name, np.ndarray]]:
    """Draws of the model of final mIoU, the luck at earlier rungs taken out: see `surrogate.sample`.

    Args:
        values: (rungs + 1, trials) of mIoU, NaN where a trial had ended; see `rungs.at_rungs`.
        blocks: (trials, columns) each, or (chains, trials, columns).
    """
    luck, complete = np.empty((num_chains, values.shape[1], 0)), np.isfinite(values[-1])
    for row in values[:-1]:
        if np.isfinite(row[complete]).all():  # else curves are missing, and who lacks them would drop out below
            level, draws = _at_rung(row, blocks, luck, rng, num_chains, 1)
            fitted = level[:, None] + sum(_fitted(block.columns, draws[key]) for key, block in blocks.items())
            luck = np.concatenate([luck, (row - fitted)[..., None]], axis=2)
    return _at_rung(values[-1], blocks, luck, rng, num_chains, num_draws)


def _at_rung(
    row: np.ndarray,
    blocks: Mapping[Name, Block],
    luck: np.ndarray,
    rng: np.random.Generator,
    num_chains: int,
    num_draws: int,
) -> tuple[np.ndarray, dict[Name, np.ndarray]]:
    """A model of one rung from the trials whose values there and at all rungs before are known."""
    here = np.isfinite(row) & np.isfinite(luck[0]).all(axis=-1)
    parts: dict[Hashable, Block] = {
        key: Block(block.columns[..., here, :], block.weights, block.absent) for key, block in blocks.items()
    }
    if luck.shape[2]:
        unit = row[here].std() or 1.0
        parts["luck"] = Block(luck[:, here] / unit, np.ones(luck.shape[2]), 0.0)
    level, draws = surrogate.sample(row[here], parts, rng, num_chains=num_chains, num_draws=num_draws)
    return level, {key: draws[key] for key in blocks}


def _fitted(columns: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """(chains, trials)"""
    return np.matmul(columns, coefficients[..., None])[..., 0]
