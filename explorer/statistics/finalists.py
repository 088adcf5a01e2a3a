"""What fresh seeds say of finalists: intervals, differences paired by seed, and which one can be told from the others.

Everything is in the unit of the scores, mIoU in [0, 1]. Scores of one finalist come as a mapping from seed to score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit  # Student's t, its distribution and its quantiles

LEVEL = 0.90
"""Of every interval."""
ALPHA = (1 - LEVEL) / 2
"""Of every one-sided test: what an interval excludes, a test rejects."""
_NAN = math.nan

Scores = Mapping[int, float]


class Interval(NamedTuple):
    mean: float
    low: float
    high: float


class Separation(NamedTuple):
    """Attributes:
    best: place of the finalist with the highest mean.
    near: places of the others that are not told apart from it, best first.
    p: of the test against each other finalist, adjusted, by place.
    """

    best: int
    near: list[int]
    p: dict[int, float]


def interval(values: Sequence[float]) -> Interval:
    """Mean and 90 % interval of a mean by Student's t, for independent, roughly normal values.

    One value has no interval (NaN), none has no mean either.
    """
    if len(values) == 0:
        return Interval(_NAN, _NAN, _NAN)
    mean = float(np.mean(values))
    if len(values) == 1:
        return Interval(mean, _NAN, _NAN)
    half = float(stdtrit(len(values) - 1, 1 - ALPHA) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def paired(first: Scores, second: Scores) -> list[float]:
    """first - second on each seed that both have, in the order of the seeds: what a seed does to both cancels."""
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def p_above(differences: Sequence[float]) -> float:
    """One-sided p of the paired t test that the mean difference is no more than 0; 1 with fewer than two."""
    if len(differences) < 2:
        return 1.0
    mean, sd = float(np.mean(differences)), float(np.std(differences, ddof=1))
    if sd == 0:
        return 0.0 if mean > 0 else 1.0
    return float(stdtr(len(differences) - 1, -mean / (sd / math.sqrt(len(differences)))))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given: those below a level are rejected with that family-wise error.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6, 1979.
    """
    adjusted, floor = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda place: p[place])):
        floor = max(floor, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = floor
    return adjusted


def separate(finalists: Sequence[Scores]) -> Separation:
    """Whether the finalist with the best mean can be told apart from every other one.

    One-sided paired t tests of the best against each other finalist, each at ALPHA after Holm's correction. Which one
    is tested as the best is itself chosen by the scores: of two equal finalists either may come out ahead, so one of
    them is told apart in 2 * ALPHA = 10 % of confirmations, and of more equal ones less often. Who adds seeds after
    each look until one wins is wrong more often than that.

    Args:
        finalists: at least one, each with at least one score.
    """
    means = [float(np.mean(list(scores.values()))) for scores in finalists]
    order = sorted(range(len(finalists)), key=lambda place: -means[place])
    best, others = order[0], order[1:]
    adjusted = holm([p_above(paired(finalists[best], finalists[other])) for other in others])
    p = dict(zip(others, adjusted, strict=True))
    return Separation(best, [other for other in others if p[other] > ALPHA], p)
