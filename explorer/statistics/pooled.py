"""Gains of the pairs of a study, each drawn towards what its teacher and its student do elsewhere: partial pooling.

The gain g of teacher t and student s, known with the standard error e_ts from its interval, is

    g = mu + a_t + b_s + r_ts + e,    a ~ N(0, A),  b ~ N(0, B),  r ~ N(0, R),  e ~ N(0, e_ts^2)

mu + a_t + b_s + r_ts is the pooled gain. Given A, B and R it is normal (best linear unbiased prediction, mu's own error
included); these are weighted over a grid by their restricted likelihood, uniform in the standard deviations. A single
best estimate of them would often be 0 with few pairs, and its intervals too narrow.

Source: Henderson, Biometrics 1975 (prediction); Patterson, Thompson, Biometrika 1971 (restricted likelihood); Gelman,
Bayesian Analysis 2006 (uniform in the standard deviations); Morris, JASA 1983 (why not one estimate).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from dashboards.frames import COLUMNS

MIN_PAIRS = 4  # below that, the spread of teachers, students and pairs is anyone's guess
_GRID = np.array([0.0, 0.08, 0.2, 0.4, 0.7, 1.1, 1.6])  # standard deviations, in those of the gains as they are
_Z = float(stats.norm.ppf(0.95))


class Pooled(NamedTuple):
    """mean, sd: of each pair's true gain. own: how far it stays with its own value; 0: all of it is the others'."""

    mean: np.ndarray
    sd: np.ndarray
    own: np.ndarray


def pooled(gains: pd.DataFrame) -> pd.DataFrame:
    """The frame `pooled`, of the frame `gains`: pairs whatever their method, of whole runs, that have an interval.

    Empty where fewer than MIN_PAIRS have one. What the pairs of a student share in luck, that of its training alone,
    counts as the student's.
    """
    whole = gains[(gains["method"] == "") & (gains["bound"] == "") & gains[["low", "high"]].notna().all(axis=1)]
    parts = []
    for _, part in whole.groupby(["statistic", "equal"], sort=False):
        if len(part) < MIN_PAIRS:
            continue
        error = (part["high"] - part["low"]).to_numpy(float) / (2 * _Z)
        found = pool(part["gain"].to_numpy(float), error, part["teacher"].to_numpy(), part["student"].to_numpy())
        low, high = found.mean - _Z * found.sd, found.mean + _Z * found.sd
        ends = {"pooled": found.mean, "pooled_low": low, "pooled_high": high, "own": found.own}
        parts.append(part.assign(**ends, distinguishable=(low > 0) | (high < 0)))
    rows = pd.concat(parts) if parts else gains.iloc[:0].assign(pooled=0.0, pooled_low=0.0, pooled_high=0.0, own=0.0)
    return rows[list(COLUMNS["pooled"])].astype(COLUMNS["pooled"]).reset_index(drop=True)


def pool(gain: np.ndarray, error: np.ndarray, teacher: np.ndarray, student: np.ndarray) -> Pooled:
    """The gains of pairs, pooled.

    Args:
        gain, error: of each pair, and its standard error. teacher, student: of each pair, as names.
    """
    scale = _scale(gain, error)
    same_teacher, same_student = (np.equal.outer(names, names).astype(float) for names in (teacher, student))
    kinds = [same_teacher, same_student, np.eye(len(gain))]
    grids = (_grid(teacher), _grid(student), _GRID)
    sds = scale * np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, 3)
    signal = np.einsum("gk,kij->gij", sds**2, np.stack(kinds))
    floor = np.maximum(error, 1e-6 * scale) ** 2
    likelihood, mean, variance, own = _given(gain, signal, floor)
    widths = np.stack(np.meshgrid(*map(_widths, grids), indexing="ij"), axis=-1).reshape(-1, 3).prod(axis=1)
    weight = widths * np.exp(likelihood - likelihood.max())
    weight /= weight.sum()
    middle = weight @ mean
    spread = weight @ (variance + (mean - middle) ** 2)
    return Pooled(middle, np.sqrt(spread), weight @ own)


def _grid(names: np.ndarray) -> np.ndarray:
    """Standard deviations to be weighted; only 0 where an effect would be mu's, or a pair's own, under another name."""
    return _GRID if 1 < len(np.unique(names)) < len(names) else _GRID[:1]


def _widths(grid: np.ndarray) -> np.ndarray:
    """What each point of a grid stands for."""
    return np.gradient(grid) if len(grid) > 1 else np.ones(1)


def _scale(gain: np.ndarray, error: np.ndarray) -> float:
    """How far gains spread, by those that are known best; above 0."""
    trust = 1 / np.maximum(error**2 + np.median(error) ** 2, 1e-12)
    centred = gain - np.average(gain, weights=trust)
    return float(np.sqrt(np.average(centred**2, weights=trust))) or float(np.max(error)) or 1.0


def _given(
    gain: np.ndarray, signal: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Under each covariance of the true gains about mu [grid, pairs, pairs]: its restricted log-likelihood, and the
    mean, the variance and the share of its own value of each pair.
    """
    inverse = np.linalg.inv(signal + np.diag(noise))
    _, logdet = np.linalg.slogdet(signal + np.diag(noise))
    ones = inverse.sum(axis=2)
    total = ones.sum(axis=1)
    mu = ones @ gain / total
    left = gain - mu[:, None]
    likelihood = -0.5 * (logdet + np.log(total) + np.einsum("gi,gij,gj->g", left, inverse, left))
    kept = signal @ inverse
    missed = 1 - kept.sum(axis=2)
    variance = np.diagonal(signal - kept @ signal, axis1=1, axis2=2) + missed**2 / total[:, None]
    own = np.diagonal(kept, axis1=1, axis2=2) + missed * ones / total[:, None]
    return likelihood, mu[:, None] + np.einsum("gij,gj->gi", kept, left), np.maximum(variance, 0.0), own
