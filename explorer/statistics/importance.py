"""Which dimensions decide mIoU: shares with intervals, from trials of which most were pruned.

A share is one of the search space, not of where the sampler went: a model of final mIoU over the space is fitted to the
trials (`effects`, which says how pruned ones count), and the shares are read off its draws.

Two questions. "variance": how much of the variance of mIoU over the space, seed noise left out, a dimension explains by
itself. "top": how much it parts the best tenth of the space from all of it, as a share of what all dimensions do.

Draws do not know what the model cannot express: a narrow bump whose height hangs on a category that was rarely tried.
There 90 % of the draws held the truth in 77 of 100 cases (`benchmarks/sensitivity.py`, "beyond the model", 48 studies
from seed 1000 on), and 95 % in 85. So the 90 % intervals are made of 95 % of the draws.

Source: functional ANOVA: Hutter, Hoos, Leyton-Brown, ICML 2014. PED-ANOVA: Watanabe, Bansal, Hutter, IJCAI 2023.
Deviation: the surrogate is Bayesian instead of a forest, and its draws instead of resampled trials make the intervals:
trees on resampled trials give every dimension a share, so that no interval holds 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy.stats import qmc

from dashboards.frames import COLUMNS, NOISE, PARAM, blank
from explorer.statistics.basis import Axis
from explorer.statistics.conditions import text_of
from explorer.statistics.effects import NUM_CHAINS, Effects, conditions_of, ended, interval, model, share

MIN_TRIALS = 8  # complete trials that have a dimension, before its importance is estimated
QUESTIONS = ("variance", "top")
TOP = 0.1  # of the space, whose best part "top" asks about

_INSIDE = 0.95  # share of the draws in a 90 % interval: see above
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
    num_chains: int = NUM_CHAINS,
    effects: Effects | None = None,
) -> pd.DataFrame:
    """The frame `importance`: both questions, with 90 % intervals.

    The model has a dimension that does nothing (row NOISE): a shuffled copy of another one, anew in each chain. A
    dimension is identifiable when 95 % of its draws lie above 95 % of what the copies reach. A dimension that only some
    trials read is judged among those; `condition` says which.

    Args:
        trials: the trials frame.
        dimensions: columns name, kind ("float", "int" or "categorical") and log; where there are low and high, a number
            lies between them, else as far as the trials reach.
        curves: the curves frame; without it pruned trials are left out, and the shares lean towards survivors.
        num_chains: of the sampler, 6 draws each; the cost is linear in it.
        effects: the model of all trials, where it is known; else it is made.

    Returns:
        A row per question and dimension, the largest share first, with NaN where nothing could be estimated; and a row
        NOISE per question where a dimension that all trials have could be judged.
    """
    if dimensions.empty:
        return blank("importance")
    rng = np.random.default_rng(seed)
    search = ended(trials, dimensions)
    found = conditions_of(search, dimensions)
    rows: list[Row] = []
    for names in _alike(search, list(dimensions["name"])):
        text = found[names[0]].text
        group = search[search[PARAM + names[0]].notna()].reset_index(drop=True) if text else search
        reasons = {name: _why_not(group, name) for name in names}
        judged = [name for name in names if not reasons[name]]
        rows += [
            (question, text, name, *_UNKNOWN, why) for question in QUESTIONS for name, why in reasons.items() if why
        ]
        if judged:
            known = None if text else effects
            fitted = known or model(group, dimensions, curves, rng, num_chains, found[names[0]])
            rows += _judged(fitted, judged, text, _caveat(group), rng)
    table = pd.DataFrame(rows, columns=list(COLUMNS["importance"])).astype(COLUMNS["importance"])
    return table.sort_values(["question", "mean"], ascending=False, kind="stable", ignore_index=True)


_UNKNOWN = (np.nan, np.nan, np.nan, False)


def _alike(search: pd.DataFrame, names: list[str]) -> list[list[str]]:
    """Dimensions grouped by the trials that have them, those of most trials first."""
    groups: dict[bytes, list[str]] = {}
    for name in names:
        groups.setdefault(search[PARAM + name].notna().to_numpy().tobytes(), []).append(name)
    return sorted(groups.values(), key=lambda group: -search[PARAM + group[0]].notna().sum())


def _judged(fitted: Effects, names: list[str], text: str, caveat: str, rng: np.random.Generator) -> Iterator[Row]:
    """The rows of dimensions that the same trials have, for both questions."""
    alone = {key[0]: part for key, part in fitted.shares().items() if len(key) == 1}
    for question, shares in zip(QUESTIONS, (alone, _of_top(fitted, rng)), strict=True):
        yield from (_row(question, text, name, shares, caveat) for name in names)
        if not text:
            reason = "A shuffled copy of another dimension: what one that does nothing reaches."
            yield question, text, NOISE, *interval(shares[NOISE], inside=_INSIDE), False, reason


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
    mean, low, high = interval(shares[name], inside=_INSIDE)
    noise = interval(shares[NOISE], inside=_INSIDE)[2]
    known = interval(shares[name])[1] > interval(shares[NOISE])[2]
    reason = "" if known else f"Its interval starts at {low:.2f}; what does nothing reaches {noise:.2f}."
    if len(shares) == 2:
        reason = f"{reason} Nothing else varies, so what can be explained at all is its share."
    return question, text, name, mean, low, high, known, f"{reason} {caveat}".strip()


def _of_top(fitted: Effects, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Dimension -> (draws,) of its share of what parts the best TOP of the space from all of it.

    A dimension's part is the Pearson divergence of its values among the best from those everywhere, less what chance
    alone gives, and 0 in a draw that leaves it out.
    """
    names = list(fitted.axes)
    points = (qmc.Sobol(len(names), scramble=False).random_base2(_LOG2_POINTS) + rng.random(len(names))) % 1.0
    places = {name: fitted.axes[name].spread(column) for name, column in zip(names, points.T, strict=True)}
    miou = fitted.of_places(places, {name: _present(fitted, name, places, rng) for name in fitted.names})
    num_best = round(TOP * len(points))
    best = np.argpartition(-miou, num_best, axis=1)[:, :num_best]
    parts = {
        name: np.where(_used(fitted, name), _divergence(_binned(fitted.axes[name], places[name]), best), 0.0)
        for name in names
    }
    total = np.sum([part for name, part in parts.items() if name != NOISE], axis=0)
    return {name: share(part, total + part if name == NOISE else total) for name, part in parts.items()}


def _present(fitted: Effects, name: str, places: Mapping[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """(points,) whether the dimension is read there: what decides about it lies at the place, or is drawn."""
    condition = fitted.conditions[name]
    present = rng.random(len(places[name])) < condition.seen
    for parent, (inside, every) in condition.needs.items():
        axis = fitted.axes.get(parent)
        if axis is not None and axis.choices:
            under = np.array([text_of(choice) in inside for choice in axis.choices])
            present &= under[places[parent]]
        else:
            present &= rng.random(len(present)) < len(inside) / len(every)
    return present


def _used(fitted: Effects, name: str) -> np.ndarray:
    """(draws,) whether a dimension does anything, by itself or with another one."""
    return np.any([draws.any(axis=1) for key, draws in fitted.draws.items() if name in key], axis=0)


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
