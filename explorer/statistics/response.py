"""mIoU over the two distillation weights, with its uncertainty: the paper's Figure 6 with error bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from dashboards.frames import COLUMNS, PARAM, blank

MIN_TRIALS = 5
WEIGHTS = [f"{PARAM}lambda_kd", f"{PARAM}lambda_hakd"]
CANNOT_RULE_OUT = 0.1  # probability from which on a place counts as within noise of the best

_LENGTHS = (0.25, 0.5, 1.0, 2.0)  # of the unit square that holds the observed log weights
_NOISES = (0.01, 0.05, 0.2, 0.6, 0.9)  # share of the variance of mIoU
_MOST = 150  # trials of a process; more of them are averaged in cells of a grid
_CELLS = 12  # of that grid, along each weight
_DRAWS = 400
_SAME = 1e-9  # spread of mIoU that is rounding
_UNLIKELY = 0.03  # against the likeliest process: left out


@dataclass(frozen=True)
class Observed:
    """Trials, or cells of a grid: their place in the unit square [n, 2], mean mIoU [n] and number of trials [n].

    spread: standard deviation of mIoU over the trials.
    """

    place: np.ndarray
    miou: np.ndarray
    count: np.ndarray
    spread: float

    @property
    def middle(self) -> float:
        """Mean mIoU of the trials."""
        return float(np.average(self.miou, weights=self.count))


def surface(
    trials: pd.DataFrame,
    *,
    noise: float | None = None,
    pairs: Sequence[str] | None = None,
    num_grid: int = 21,
    seed: int = 0,
) -> pd.DataFrame:
    """The frame `surface`: mIoU over both weights on a log grid over the observed range, a pair at a time.

    Gaussian processes (Matern 5/2), one for each of 80 length-scales and noise levels, weighed by how likely each
    makes the trials: with few trials the likelihood is flat, and the likeliest one alone would be too sure. What other
    dimensions do is noise to it. `near_best`: by joint draws of the whole surface, the probability that mIoU there is
    within noise of the highest is 0.1 or more. So outside the region lies what 90 % rule out. Noise is what trials
    scatter about the surface, and at most what seeds of one config do.

    A pair needs 5 complete search trials with both weights > 0, and two values of each. `miou_sd` is the uncertainty of
    the surface; the noise of a single trial is not part of it.

    Args:
        trials: the trials frame; trials without a pair are one pair named "".
        noise: standard deviation of mIoU between seeds of one config; none: unknown.
        pairs: which pairs; none: all.
        num_grid: points along each weight.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    parts = [
        _surface(pair, part, num_grid, noise, rng) for pair, part in _parts(trials) if pairs is None or pair in pairs
    ]
    return pd.concat(parts, ignore_index=True) if parts else blank("surface")


def _parts(trials: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    rows = (trials["role"] == "search") & (trials["state"] == "COMPLETE") & trials["miou"].notna()
    final = trials[rows].reindex(columns=["miou", "pair", *WEIGHTS])
    final[WEIGHTS] = final[WEIGHTS].apply(pd.to_numeric, errors="coerce")
    final = final[(final[WEIGHTS] > 0).all(axis=1)]
    for pair, part in final.groupby(final["pair"].map(lambda name: "" if pd.isna(name) else str(name))):
        if len(part) >= MIN_TRIALS and (part[WEIGHTS].nunique() > 1).all():
            yield str(pair), part


def _surface(
    pair: str, part: pd.DataFrame, num_grid: int, noise: float | None, rng: np.random.Generator
) -> pd.DataFrame:
    logs = np.log10(part[WEIGHTS].to_numpy(float))
    low, high = logs.min(axis=0), logs.max(axis=0)
    observed = _observed((logs - low) / (high - low), part["miou"].to_numpy(float))
    unit = np.array(list(product(np.linspace(0, 1, num_grid), repeat=2)))
    mean, sd, near = _posterior(observed, unit, noise, rng)
    kd, hakd = (10 ** (low + unit * (high - low))).T
    return pd.DataFrame(dict(zip(COLUMNS["surface"], (pair, kd, hakd, mean, sd, near), strict=True)))


def _observed(place: np.ndarray, miou: np.ndarray) -> Observed:
    spread = float(np.std(miou))
    if len(miou) <= _MOST:
        return Observed(place, miou, np.ones(len(miou)), spread)
    cell = np.minimum((place * _CELLS).astype(int), _CELLS - 1) @ (_CELLS, 1)
    table = pd.DataFrame({"cell": cell, "kd": place[:, 0], "hakd": place[:, 1], "miou": miou}).groupby("cell")
    means = table.mean()
    return Observed(means[["kd", "hakd"]].to_numpy(), means["miou"].to_numpy(), table.size().to_numpy(float), spread)


def _posterior(
    observed: Observed, unit: np.ndarray, noise: float | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation and near_best at each place of `unit` [m, 2]."""
    if observed.spread < _SAME:
        flat = np.full(len(unit), observed.middle)
        return flat, np.zeros(len(unit)), np.ones(len(unit), dtype=bool)
    processes = list(_processes(observed))
    likelihood = np.array([process.log_marginal_likelihood_value_ for process, _ in processes])
    weights = np.exp(likelihood - likelihood.max())
    kept = np.flatnonzero(weights > _UNLIKELY)
    weights = weights[kept] / weights[kept].sum()
    surfaces = [processes[index][0].predict(unit, return_cov=True) for index in kept]
    counts = rng.multinomial(_DRAWS, weights)
    draws = np.concatenate([_draw(mean, cov, num, rng) for (mean, cov), num in zip(surfaces, counts, strict=True)])
    own = np.repeat(np.sqrt([processes[index][1] for index in kept]), counts)
    margin = own if noise is None or np.isnan(noise) else np.minimum(own, noise / observed.spread)
    near = (draws >= draws.max(axis=1, keepdims=True) - margin[:, None]).mean(axis=0) >= CANNOT_RULE_OUT
    means, squares = (np.stack(parts) for parts in zip(*((m, np.diag(c) + m**2) for m, c in surfaces), strict=True))
    mean = weights @ means
    sd = np.sqrt(np.maximum(weights @ squares - mean**2, 0))
    return observed.middle + observed.spread * mean, observed.spread * sd, near


def _processes(observed: Observed) -> Iterator[tuple[GaussianProcessRegressor, float]]:
    """Every candidate, of mIoU in standard deviations of a trial, with its share of noise; signal and noise share the
    variance of a trial.

    A grid instead of gradient ascent, which on few trials ends at a bound or not at all. `alpha` is white noise that
    the predicted sd leaves out.
    """
    for kd, hakd, noise in product(_LENGTHS, _LENGTHS, _NOISES):
        kernel = ConstantKernel(1 - noise) * Matern([kd, hakd], nu=2.5)
        process = GaussianProcessRegressor(kernel, alpha=noise / observed.count, optimizer=None)
        yield process.fit(observed.place, (observed.miou - observed.middle) / observed.spread), noise


def _draw(mean: np.ndarray, covariance: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
    """[num, m] surfaces."""
    if num == 0:
        return np.empty((0, len(mean)))
    jitter = 1e-8 * float(np.diag(covariance).max()) + 1e-16
    root = np.linalg.cholesky(covariance + jitter * np.eye(len(mean)))
    return mean + rng.standard_normal((num, len(mean))) @ root.T
