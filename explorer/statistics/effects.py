"""mIoU as a function of the config, in draws: what dimensions do by themselves and two by two.

One model of final mIoU for every question about dimensions. A pruned trial has no final mIoU; which ones were pruned
depends on what they had at their rungs, so each rung is modelled too, from all trials that reached it, and what a
trial had there beyond its model (its luck, which the pruner rewards) is a covariate of what it had later. Given that,
having survived says nothing more.

Source: selection that depends on what was seen can be ignored: Rubin, Biometrika 1976.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from dashboards.frames import NOISE, PARAM
from explorer.statistics import basis, conditions, surrogate
from explorer.statistics.basis import Axis, Key
from explorer.statistics.conditions import Condition
from explorer.statistics.rungs import at_rungs
from explorer.statistics.surrogate import Block

MIN_TRIALS = 12
NUM_CHAINS = 64

_NUM_DRAWS = 6  # of a chain
# Prior probability that a block does nothing; of two dimensions: where none, one, both of them do something alone; of
# the detail of two: where they do nothing or something together.
_ABSENT_ALONE, _ABSENT_DETAIL = (0.5,), (0.8,)
_ABSENT_TOGETHER, _ABSENT_TOGETHER_DETAIL = (0.99, 0.97, 0.6), (0.99, 0.8)
_MOST = 300  # more trials are thinned: the cost grows with them, the intervals are narrow anyway
_MOST_CHOICES = 12  # of a category that acts together with another one


@dataclass(frozen=True)
class Effects:
    """Attributes:
    axes: by dimension, those that vary; NOISE is one, which does nothing: a shuffled copy, anew in each chain.
    kinds: "float", "int" or "categorical"; logs: which of them are on the log scale.
    conditions: when a dimension is read.
    level: (draws,) of mIoU; draws: block -> coefficients (draws, columns).
    """

    axes: Mapping[str, Axis]
    kinds: Mapping[str, str]
    logs: Mapping[str, bool]
    conditions: Mapping[str, Condition]
    level: np.ndarray
    draws: Mapping[Key, np.ndarray]

    @cached_property
    def names(self) -> list[str]:
        """The dimensions."""
        return [name for name in self.axes if name != NOISE]

    def shares(self) -> dict[Key, np.ndarray]:
        """Block -> (draws,) of its share of the variance over the space; 0 in a draw that explains nothing.

        A dimension's detail is part of its own block. That of NOISE is of the variance with its own.
        """
        parts: dict[Key, np.ndarray] = {}
        for key, draws in self.draws.items():
            names = tuple(dict.fromkeys(key))
            part = (draws**2).sum(axis=1) * conditions.share(self.conditions[name] for name in names)
            parts[names] = parts.get(names, 0.0) + part
        total = np.sum([part for names, part in parts.items() if names != (NOISE,)], axis=0)
        return {key: share(part, total + part if key == (NOISE,) else total) for key, part in parts.items()}

    def at(self, configs: pd.DataFrame) -> np.ndarray:
        """(draws, rows): mIoU of configs, given as columns `param.<dimension>`, NaN where not read."""
        values = {name: basis.plain(configs[PARAM + name], self.kinds[name], self.logs[name]) for name in self.names}
        places = {name: self.axes[name].place(column) for name, column in values.items()}
        return self.of_places(places, {name: column.notna().to_numpy() for name, column in values.items()})

    def of_places(self, places: Mapping[str, np.ndarray], present: Mapping[str, np.ndarray]) -> np.ndarray:
        """(draws, points): mIoU at places of the dimensions, as `Axis.place` gives them."""
        columns = basis.design({name: self.axes[name] for name in self.names}, places, present)
        return self.level[:, None] + sum(self.draws[key] @ columns[key].T for key in columns if key in self.draws)


def share(part: np.ndarray, total: np.ndarray) -> np.ndarray:
    """part / total, 0 where there is nothing."""
    return np.divide(part, total, out=np.zeros_like(part), where=total > 0)


def interval(draws: np.ndarray, *, inside: float = 0.9) -> tuple[float, float, float]:
    """Mean and the interval of so many of the draws, which holds the mean even where few are apart from the others."""
    low, high = np.quantile(draws, [(1 - inside) / 2, (1 + inside) / 2])
    mean = float(draws.mean())
    return mean, min(float(low), mean), max(float(high), mean)


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
        dimensions: columns name, kind and log; where there are low and high, a number lies between them, else as far as
            the trials reach.
        curves: the curves frame; without it pruned trials are left out.
        num_chains: of the sampler, 6 draws each; the cost is linear in it.
    """
    group = ended(trials, dimensions)
    complete = group[group["state"] == "COMPLETE"]
    varies = any(complete[PARAM + name].nunique() > 1 for name in dimensions["name"])
    if len(complete) < MIN_TRIALS or not varies or complete["miou"].nunique() == 1:
        return None
    return model(group, dimensions, curves, np.random.default_rng(seed), num_chains)


def ended(trials: pd.DataFrame, dimensions: pd.DataFrame) -> pd.DataFrame:
    """Search trials that ended with a score; dimensions as `basis.plain` values, NaN where not read."""
    done = trials["state"].isin(["COMPLETE", "PRUNED"]) & np.isfinite(trials["miou"].astype(float))
    rows = trials[(trials["role"] == "search") & done].reset_index(drop=True)
    absent = {"number": rows.index, "probe": False, "step": 0}
    rows = rows.assign(**{name: value for name, value in absent.items() if name not in rows})
    for name, kind, log in dimensions[["name", "kind", "log"]].itertuples(index=False):
        values = rows.get(PARAM + name, pd.Series(np.nan, index=rows.index))
        rows[PARAM + name] = basis.plain(values, kind, log)
    return rows


def conditions_of(group: pd.DataFrame, dimensions: pd.DataFrame) -> dict[str, Condition]:
    """When each dimension is read; what decides is a list or a range of whole numbers."""
    deciding = dimensions[dimensions["kind"] != "float"]
    powers = [PARAM + name for name in deciding.loc[(deciding["kind"] == "int") & deciding["log"], "name"]]
    told = group.assign(**{name: (10 ** group[name]).round() for name in powers})
    return conditions.find(told, list(dimensions["name"]), list(deciding["name"]))


def model(
    group: pd.DataFrame,
    dimensions: pd.DataFrame,
    curves: pd.DataFrame | None,
    rng: np.random.Generator,
    num_chains: int,
    condition: Condition | None = None,
) -> Effects:
    """The model of trials as from `ended`, of which at least one dimension varies.

    At most 300 of them count: the probes, then others whatever their state.

    Args:
        condition: under which these trials alone fall: the space is the part of the whole one where it holds.
    """
    names = [name for name in dimensions["name"] if group[PARAM + name].nunique() > 1]
    kinds, logs = (dict(zip(dimensions["name"], dimensions[part], strict=True)) for part in ("kind", "log"))
    rows = dimensions.drop_duplicates("name").set_index("name", drop=False)
    needs = condition.needs if condition else {}
    inside = {name: held for name, (held, _) in needs.items()}
    axes = {name: _axis(group[PARAM + name], rows.loc[name], inside.get(name)) for name in names}
    found = conditions_of(group, dimensions)
    counted = _thinned(group, rng)
    blocks = _blocks(counted, axes)
    copied = max(names, key=lambda name: (conditions.share([found[name]]), blocks[name,].columns.shape[1]))
    shuffled = np.array([rng.permutation(len(counted)) for _ in range(num_chains)])
    blocks[NOISE,] = Block(blocks[copied,].columns[shuffled], blocks[copied,].weights, _ABSENT_ALONE)
    level, draws = _through_rungs(at_rungs(counted, curves), blocks, rng, num_chains)
    axes[NOISE], found[NOISE] = axes[copied], Condition()
    return Effects(axes, kinds, logs, found, level, draws)


def _thinned(group: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    if len(group) <= _MOST:
        return group
    order = rng.permutation(len(group))
    probes_first = np.argsort(~group["probe"].to_numpy(bool)[order], kind="stable")
    return group.iloc[np.sort(order[probes_first][:_MOST])].reset_index(drop=True)


def _axis(values: pd.Series, dimension: pd.Series, inside: frozenset[str] | None) -> Axis:
    ends = basis.plain(dimension.reindex(["low", "high"]), "float", bool(dimension["log"]))
    return Axis.of(values, dimension["kind"], bool(dimension["log"]), (ends["low"], ends["high"]), inside)


def _blocks(group: pd.DataFrame, axes: Mapping[str, Axis]) -> dict[Key, Block]:
    """Of two dimensions that are never read together there is none: it would be drawn from its prior alone."""
    columns = basis.design(
        axes,
        {name: axis.place(group[PARAM + name]) for name, axis in axes.items()},
        {name: group[PARAM + name].notna().to_numpy() for name in axes},
    )
    return {
        key: Block(values, basis.weights(axes, key, values.shape[1]), *_prior(key))
        for key, values in columns.items()
        if len(key) == 1 or (values.any() and _few_choices(key, axes))
    }


def _few_choices(key: Key, axes: Mapping[str, Axis]) -> bool:
    return all(len(axes[name].choices) <= _MOST_CHOICES for name in key)


def _prior(key: Key) -> tuple[tuple[float, ...], tuple[Key, ...]]:
    """Of a block: the probability that it does nothing, and the blocks that this depends on."""
    if len(key) == 1:
        return _ABSENT_ALONE, ()
    if key[0] == key[1]:
        return _ABSENT_DETAIL, ()
    if len(key) == 2:
        return _ABSENT_TOGETHER, (key[:1], key[1:])
    return _ABSENT_TOGETHER_DETAIL, (key[:2],)


def _through_rungs(
    values: np.ndarray, blocks: Mapping[Key, Block], rng: np.random.Generator, num_chains: int
) -> tuple[np.ndarray, dict[Key, np.ndarray]]:
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
    return _at_rung(values[-1], blocks, luck, rng, num_chains, _NUM_DRAWS)


def _at_rung(
    row: np.ndarray,
    blocks: Mapping[Key, Block],
    luck: np.ndarray,
    rng: np.random.Generator,
    num_chains: int,
    num_draws: int,
) -> tuple[np.ndarray, dict[Key, np.ndarray]]:
    """A model of one rung from the trials whose values there and at all rungs before are known."""
    here = np.isfinite(row) & np.isfinite(luck[0]).all(axis=-1)
    parts: dict[Hashable, Block] = {
        key: replace(block, columns=block.columns[..., here, :]) for key, block in blocks.items()
    }
    if luck.shape[2]:
        unit = row[here].std() or 1.0
        parts["luck"] = Block(luck[:, here] / unit, np.ones(luck.shape[2]), (0.0,))
    level, draws = surrogate.sample(row[here], parts, rng, num_chains=num_chains, num_draws=num_draws)
    return level, {key: draws[key] for key in blocks}


def _fitted(columns: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """(chains, trials)"""
    return np.matmul(columns, coefficients[..., None])[..., 0]
