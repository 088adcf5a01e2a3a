"""Which dimensions decide mIoU: shares with intervals, from trials of which most were pruned.

A share is one of the search space, not of where the sampler went: a model of final mIoU over the space is fitted to the
trials (`surrogate`), and the shares are read off its draws. A pruned trial has no final mIoU. Which ones were pruned
depends on what they had at their rungs, so these values enter: each rung is modelled too, from all trials that
reached it, and what a trial had there beyond its model (its luck, which the pruner rewards) is a covariate of
what it had later. Given that, having survived says nothing more, so survivors do not bias the shares.

Two questions. "variance": how much of the variance of mIoU over the space, seed noise left out, a dimension explains by
itself. "top": how much it parts the best tenth of the space from all of it, as a share of what all dimensions do.

Source: functional ANOVA: Hutter, Hoos, Leyton-Brown, ICML 2014. PED-ANOVA: Watanabe, Bansal, Hutter, IJCAI 2023.
Selection that depends on what was seen can be ignored: Rubin, Biometrika 1976.
Deviation: the surrogate is Bayesian instead of a forest, and its draws instead of resampled trials make the intervals:
trees on resampled trials give every dimension a share, so that no interval holds 0.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import qmc

from dashboards.frames import COLUMNS, NOISE, PARAM, blank
from explorer import basis
from explorer.basis import Axis
from explorer.conditions import condition
from explorer.effects import axis_of, through_rungs
from explorer.rungs import at_rungs
from explorer.surrogate import Block

MIN_TRIALS = 8  # complete trials that have a dimension, before its importance is estimated
QUESTIONS = ("variance", "top")
TOP = 0.1  # of the space, whose best part "top" asks about

_MOST_TRIALS = 300  # more are thinned: the cost grows with them, the intervals are narrow anyway
_NUM_DRAWS = 6  # of a chain
_ABSENT_PLAIN, _ABSENT_DETAIL, _ABSENT_MIXED = 0.2, 0.7, 0.9  # prior probability that a block does nothing
_LOG2_POINTS, _BINS = 11, 8  # of the space, and of a number's range, for "top"
_CENSORED = 0.3  # share of trials without a final mIoU from which on probes are wanted

Row = tuple[str, str, str, float, float, float, bool, str]
"""Of the frame `importance`."""


def importance(
    trials: pd.DataFrame,
    dimensions: pd.DataFrame,
    *,
    curves: pd.DataFrame | None = None,
    seed: int = 0,
    num_chains: int = 64,
) -> pd.DataFrame:
    """The frame `importance`: both questions, with 90 % intervals.

    The model has a dimension that does nothing (row NOISE): a shuffled copy of another one, anew in each chain. A
    dimension is identifiable when its interval lies above the 95 % quantile of what the copies reach. A dimension
    that only some trials read is judged among those; `condition` says which.

    Args:
        trials: the trials frame.
        dimensions: columns name, kind ("float", "int" or "categorical") and log; where there are low and high, a number
            lies between them, else as far as the trials reach.
        curves: the curves frame; without it pruned trials are left out, and the shares lean towards survivors.
        num_chains: of the sampler, 6 draws each; the cost is linear in it.

    Returns:
        A row per question and dimension, the largest share first, with NaN where nothing could be estimated, and a row
        NOISE per question where something could.
    """
    if dimensions.empty:
        return blank("importance")
    rng = np.random.default_rng(seed)
    search = _search(trials, dimensions)
    rows: list[Row] = []
    for names, (text, _) in _alike(search, list(dimensions["name"])):
        group = _thinned(search[search[PARAM + names[0]].notna()] if text else search, rng)
        rows += _judged(group, names, text, dimensions, curves, rng, num_chains)
    table = pd.DataFrame(rows, columns=list(COLUMNS["importance"])).astype(COLUMNS["importance"])
    return table.sort_values(["question", "mean"], ascending=False, kind="stable", ignore_index=True)


def _search(trials: pd.DataFrame, dimensions: pd.DataFrame) -> pd.DataFrame:
    """Search trials that ended with a score; the dimensions as plain values, NaN where not read."""
    ended = trials["state"].isin(["COMPLETE", "PRUNED"]) & np.isfinite(trials["miou"].astype(float))
    rows = trials[(trials["role"] == "search") & ended].reset_index(drop=True)
    absent = {"number": rows.index, "probe": False, "step": 0}
    rows = rows.assign(**{name: value for name, value in absent.items() if name not in rows})
    for name, kind, log in dimensions[["name", "kind", "log"]].itertuples(index=False):
        values = rows.get(PARAM + name, pd.Series(np.nan, index=rows.index))
        rows[PARAM + name] = basis.plain(values, kind, log)
    return rows


def _alike(search: pd.DataFrame, names: list[str]) -> Iterator[tuple[list[str], tuple[str, float]]]:
    """Dimensions grouped by the trials that have them, those of all trials first; with their condition."""
    groups: dict[bytes, list[str]] = {}
    for name in names:
        groups.setdefault(search[PARAM + name].notna().to_numpy().tobytes(), []).append(name)
    for group in sorted(groups.values(), key=lambda group: -search[PARAM + group[0]].notna().sum()):
        yield group, condition(search, group[0], names)


def _thinned(group: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """At most _MOST_TRIALS of them: the probes, then others whatever their state."""
    if len(group) <= _MOST_TRIALS:
        return group.reset_index(drop=True)
    order = rng.permutation(len(group))
    probes_first = np.argsort(~group["probe"].to_numpy(bool)[order], kind="stable")
    return group.iloc[np.sort(order[probes_first][:_MOST_TRIALS])].reset_index(drop=True)


def _judged(
    group: pd.DataFrame,
    names: list[str],
    text: str,
    dimensions: pd.DataFrame,
    curves: pd.DataFrame | None,
    rng: np.random.Generator,
    num_chains: int,
) -> list[Row]:
    """The rows of dimensions that the same trials have, for both questions."""
    reasons = {name: _why_not(group, name) for name in names}
    rows: list[Row] = [
        (question, text, name, np.nan, np.nan, np.nan, False, reason)
        for question in QUESTIONS
        for name, reason in reasons.items()
        if reason
    ]
    judged = [name for name in names if not reasons[name]]
    if not judged:
        return rows
    model = _model(group, dimensions, curves, rng, num_chains)
    caveat = _caveat(group)
    for question, shares in zip(QUESTIONS, (_of_variance(model), _of_top(model, rng)), strict=True):
        rows += [_row(question, text, name, shares, caveat) for name in judged]
        if not text:
            reason = "A shuffled copy of another dimension: what one that does nothing reaches."
            rows.append((question, text, NOISE, *_interval(shares[NOISE]), False, reason))
    return rows


def _why_not(group: pd.DataFrame, name: str) -> str:
    """Why a dimension's importance cannot be estimated at all; empty when it can."""
    have = group[group[PARAM + name].notna()]
    complete = have[have["state"] == "COMPLETE"]
    if len(complete) < MIN_TRIALS:
        return f"{len(complete)} complete trials have it; {MIN_TRIALS} are needed."
    if complete[PARAM + name].nunique() == 1:
        return "It took a single value."
    if complete["miou"].nunique() == 1:
        return "mIoU is the same in all trials that have it."
    return ""


def _caveat(group: pd.DataFrame) -> str:
    censored = float((group["state"] != "COMPLETE").mean())
    if censored < _CENSORED or group["probe"].any():
        return ""
    return f"{100 * censored:.0f} % of the trials were pruned and none was a probe: where all were, this is a guess."


def _row(question: str, text: str, name: str, shares: Mapping[str, np.ndarray], caveat: str) -> Row:
    mean, low, high = _interval(shares[name])
    noise = _interval(shares[NOISE])[2]
    known = low > noise
    reason = "" if known else f"Its interval starts at {low:.2f}; what does nothing reaches {noise:.2f}."
    reason = f"{reason} {caveat}".strip()
    return question, text, name, mean, low, high, known, reason


def _interval(shares: np.ndarray) -> tuple[float, float, float]:
    """Mean and 90 % interval, which holds the mean even where few draws have a share at all."""
    low, high = np.quantile(shares, [0.05, 0.95])
    mean = float(shares.mean())
    return mean, float(low), max(float(high), mean)


@dataclass(frozen=True)
class _Model:
    """mIoU over the space.

    Attributes:
        axes: by dimension; NOISE is one.
        chance: share of the space in which a dimension is read.
        draws: block -> coefficients (draws, columns).
    """

    axes: Mapping[str, Axis]
    chance: Mapping[str, float]
    draws: Mapping[Hashable, np.ndarray]


def _model(
    group: pd.DataFrame,
    dimensions: pd.DataFrame,
    curves: pd.DataFrame | None,
    rng: np.random.Generator,
    num_chains: int,
) -> _Model:
    names = [name for name in dimensions["name"] if group[PARAM + name].nunique() > 1]
    axes = {name: axis_of(group[PARAM + name], dimensions[dimensions["name"] == name].iloc[0]) for name in names}
    chance = {name: condition(group, name, names)[1] for name in names}
    columns = basis.design(
        axes,
        {name: axis.place(group[PARAM + name]) for name, axis in axes.items()},
        {name: group[PARAM + name].notna().to_numpy() for name in names},
    )
    blocks: dict[Hashable, Block] = {
        key: Block(values, basis.weights(axes, key, values.shape[1]), _absent(key)) for key, values in columns.items()
    }
    copied = max(names, key=lambda name: (chance[name], columns[name,].shape[1]))
    shuffled = np.array([rng.permutation(len(group)) for _ in range(num_chains)])
    blocks[NOISE] = Block(columns[copied,][shuffled], blocks[copied,].weights, _ABSENT_PLAIN)
    _, draws = through_rungs(at_rungs(group, curves), blocks, rng, num_chains, num_draws=_NUM_DRAWS)
    return _Model({**axes, NOISE: axes[copied]}, {**chance, NOISE: 1.0}, draws)


def _absent(key: basis.Key) -> float:
    if len(key) == 1:
        return _ABSENT_PLAIN
    return _ABSENT_DETAIL if key[0] == key[1] else _ABSENT_MIXED


def _of_variance(model: _Model) -> dict[str, np.ndarray]:
    """Dimension -> (draws,) of its share; 0 in a draw that explains nothing."""
    parts = {
        key: (draws**2).sum(axis=1) * np.prod([model.chance[name] for name in set(_names(key))])
        for key, draws in model.draws.items()
    }
    total = np.sum([part for key, part in parts.items() if key != NOISE], axis=0)
    alone = {
        name: np.sum([part for key, part in parts.items() if set(_names(key)) == {name}], axis=0) for name in model.axes
    }
    return {name: _share(part, total + part if name == NOISE else total) for name, part in alone.items()}


def _names(key: Hashable) -> tuple[str, ...]:
    return (NOISE,) if key == NOISE else tuple(key)  # type: ignore[arg-type]


def _share(part: np.ndarray, total: np.ndarray) -> np.ndarray:
    return np.divide(part, total, out=np.zeros_like(part), where=total > 0)


def _of_top(model: _Model, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Dimension -> (draws,) of its share of what parts the best TOP of the space from all of it.

    A dimension's part is the Pearson divergence of its values among the best from those everywhere, less what chance
    alone gives, and 0 in a draw that leaves it out.
    """
    names = list(model.axes)
    points = (qmc.Sobol(len(names), scramble=False).random_base2(_LOG2_POINTS) + rng.random(len(names))) % 1.0
    places = {name: model.axes[name].spread(column) for name, column in zip(names, points.T, strict=True)}
    present = {name: rng.random(len(points)) < model.chance[name] for name in names}
    real = {name: axis for name, axis in model.axes.items() if name != NOISE}
    noise = model.axes[NOISE]
    columns: dict[Hashable, np.ndarray] = {NOISE: noise.columns(places[NOISE])[:, : noise.num_plain]}
    columns.update(basis.design(real, places, present).items())
    coefficients = np.hstack([model.draws[key] for key in columns]).astype(np.float32)
    miou = coefficients @ np.hstack(list(columns.values())).T.astype(np.float32)
    num_best = round(TOP * len(points))
    best = np.argpartition(-miou, num_best, axis=1)[:, :num_best]
    parts = {
        name: np.where(_used(model, name), _divergence(_binned(model.axes[name], places[name]), best), 0.0)
        for name in names
    }
    total = np.sum([part for name, part in parts.items() if name != NOISE], axis=0)
    return {name: _share(part, total + part if name == NOISE else total) for name, part in parts.items()}


def _used(model: _Model, name: str) -> np.ndarray:
    """(draws,) whether a dimension does anything, by itself or with another one."""
    return np.any([draws.any(axis=1) for key, draws in model.draws.items() if name in _names(key)], axis=0)


def _binned(axis: Axis, places: np.ndarray) -> np.ndarray:
    return places if axis.choices else np.minimum((places * _BINS).astype(int), _BINS - 1)


def _divergence(bins: np.ndarray, best: np.ndarray) -> np.ndarray:
    """(draws,) Pearson divergence of the bins of the best points, (draws, num_best), from those of all points."""
    everywhere = np.bincount(bins) / len(bins)
    count = len(everywhere)
    rows = bins[best] + count * np.arange(len(best))[:, None]
    among = np.bincount(rows.ravel(), minlength=count * len(best)).reshape(len(best), count) / best.shape[1]
    seen = everywhere > 0
    divergence = ((among - everywhere)[:, seen] ** 2 / everywhere[seen]).sum(axis=1)
    by_chance = (seen.sum() - 1) / best.shape[1] * (1 - best.shape[1] / len(bins))
    return np.maximum(divergence - by_chance, 0.0)
