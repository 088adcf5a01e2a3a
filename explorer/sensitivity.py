"""What matters: importance of dimensions with intervals, mIoU over the two weights, and the noise between seeds.

All three read the tidy trials frame: columns `role`, `state`, `miou` (in [0, 1]), `param.<dimension>` (missing where a
trial did not read the dimension) and, where there are pairs, `pair`. Pruned trials never count: their score is not
final.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

MIN_TRIALS = 8  # complete trials that have a dimension, before its importance is estimated
MIN_SURFACE_TRIALS = 5
IMPORTANCE_COLUMNS = ["dimension", "mean", "low", "high", "identifiable", "reason"]
SURFACE_COLUMNS = ["pair", "lambda_kd", "lambda_hakd", "miou_mean", "miou_sd"]

_SHUFFLED = "shuffled copy"
_NUM_TREES, _MAX_DEPTH = 4, 4  # a replicate; 100 replicates are 400 trees: 3 s for 60 trials x 8 dimensions on one core
_LENGTHS = (0.25, 0.5, 1.0, 2.0)  # of the unit square that holds the observed log weights
_NOISES = (0.01, 0.05, 0.2, 0.6)  # share of the variance of mIoU
_LAMBDAS = ["param.lambda_kd", "param.lambda_hakd"]
_IDENTITY = ("role", "pair", "teacher", "student", "method")


def importance(
    trials: pd.DataFrame, dimensions: pd.DataFrame, *, seed: int = 0, num_bootstrap: int = 100
) -> pd.DataFrame:
    """Share of the variance of mIoU that each dimension explains by itself (fANOVA), with a 90 % interval.

    The complete search trials are resampled with replacement `num_bootstrap` times. Each replicate also holds a
    shuffled copy of one dimension (in turn, shuffled anew), which explains nothing by construction; it is shuffled
    before the resampling, so that repeated rows flatter it as they flatter a real dimension. A dimension is
    identifiable when the low end of its interval lies above the 95 % quantile of what the shuffled copies reach.

    Log dimensions enter as log10, because Optuna's fANOVA integrates over the raw scale. A dimension that only some
    trials read is judged among those, so its share is of their variance.

    Args:
        trials: the trials frame.
        dimensions: columns name, kind ("float", "int" or "categorical") and log.
        seed: of shuffling, resampling and trees.
        num_bootstrap: replicates; the cost is linear in it.

    Returns:
        One row a dimension, largest first: dimension, mean, low, high (NaN where nothing could be estimated),
        identifiable, and the reason when not.

    Source: Hutter, Hoos, Leyton-Brown, ICML 2014 (fANOVA); shuffled copies after Kursa and Rudnicki, 2010 (Boruta).
    """
    final = _final(trials)
    encoded = _encode(final, dimensions)
    reasons = {name: _why_not(encoded[name], final["miou"]) for name in encoded}
    rows = [(name, np.nan, np.nan, np.nan, False, reason) for name, reason in reasons.items() if reason]
    rng = np.random.default_rng(seed)
    with _quiet_optuna():
        for names, present in _alike(encoded[[name for name, reason in reasons.items() if not reason]]):
            shares = _bootstrap(encoded[present], final["miou"][present].to_numpy(float), rng, num_bootstrap)
            rows += [_judge(name, shares) for name in names]
    table = pd.DataFrame(rows, columns=IMPORTANCE_COLUMNS)
    return table.sort_values("mean", ascending=False, kind="stable", ignore_index=True)


def surface(trials: pd.DataFrame, *, pairs: Sequence[str] | None = None, num_grid: int = 25) -> pd.DataFrame:
    """mIoU over both weights, one Gaussian process a pair, on a log grid over the observed range.

    A pair needs 5 complete search trials with both weights > 0, and two values of each. `miou_sd` is the uncertainty of
    the surface; the noise of a single trial is not part of it.

    Args:
        trials: the trials frame; the pair is in `pair`, else in `param.pair`; trials without one are one pair named "".
        pairs: which pairs; none: all.
        num_grid: points along each weight.

    Returns:
        num_grid ** 2 rows a pair: pair, lambda_kd, lambda_hakd, miou_mean, miou_sd. Empty when no pair has enough.
    """
    column = next((name for name in ("pair", "param.pair") if name in trials), "pair")
    final = _final(trials).reindex(columns=["miou", column, *_LAMBDAS])
    final = final[(final[_LAMBDAS].astype(float) > 0).all(axis=1)]
    parts = [
        _surface(str(name), part, num_grid)
        for name, part in final.groupby(final[column].map(lambda name: "" if pd.isna(name) else str(name)))
        if (pairs is None or name in pairs) and len(part) >= MIN_SURFACE_TRIALS and (part[_LAMBDAS].nunique() > 1).all()
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=SURFACE_COLUMNS)


def noise_floor(trials: pd.DataFrame) -> float:
    """Standard deviation of mIoU between seeds of the same config, pooled over configs; NaN when none was repeated.

    Trials are of one config when all `param.` columns but the seed, and role, pair, teacher, student and method (those
    there are), agree. A repeat with the same seed is no repeat.
    """
    final = trials[(trials["state"] == "COMPLETE") & trials["miou"].notna()]
    seeds = [name for name in ("seed", "param.seed") if name in final]
    same = [name for name in map(str, final) if name in _IDENTITY or (name.startswith("param.") and name not in seeds)]
    if seeds:
        final = final.drop_duplicates([*same, *seeds])
    groups = final.groupby(same, dropna=False, sort=False)["miou"]
    freedom = len(final) - groups.ngroups
    if freedom == 0:
        return float("nan")
    return float(np.sqrt(((final["miou"] - groups.transform("mean")) ** 2).sum() / freedom))


def _final(trials: pd.DataFrame) -> pd.DataFrame:
    rows = (trials["role"] == "search") & (trials["state"] == "COMPLETE") & trials["miou"].notna()
    return trials[rows].reset_index(drop=True)


def _encode(final: pd.DataFrame, dimensions: pd.DataFrame) -> pd.DataFrame:
    """One column a dimension: log10 or the plain number, text for a category; NaN where a trial lacks it."""
    columns: dict[str, pd.Series] = {}
    for name, kind, log in dimensions[["name", "kind", "log"]].itertuples(index=False):
        values = final.get(f"param.{name}", pd.Series(np.nan, index=final.index))
        if kind == "categorical":
            columns[name] = values.map(str, na_action="ignore").astype(object)
        else:
            columns[name] = values.astype(float).map(np.log10) if log else values.astype(float)
    return pd.DataFrame(columns, index=final.index)


def _why_not(values: pd.Series, miou: pd.Series) -> str:
    """Why a dimension's importance cannot be estimated at all; empty when it can."""
    present = values.notna()
    if present.sum() < MIN_TRIALS:
        return f"{present.sum()} complete trials have it; {MIN_TRIALS} are needed."
    if values.nunique() == 1:
        return "It took a single value."
    if miou[present].nunique() == 1:
        return "mIoU is the same in all trials that have it."
    return ""


def _alike(encoded: pd.DataFrame) -> Iterator[tuple[list[str], pd.Series]]:
    """Dimensions grouped by the trials that have them."""
    groups: dict[bytes, list[str]] = {}
    for name in map(str, encoded):
        groups.setdefault(encoded[name].notna().to_numpy().tobytes(), []).append(name)
    for names in groups.values():
        yield names, encoded[names[0]].notna()


def _bootstrap(encoded: pd.DataFrame, miou: np.ndarray, rng: np.random.Generator, num_bootstrap: int) -> pd.DataFrame:
    """One row a replicate: the share of each dimension that all these trials have, and of the shuffled copy."""
    values = encoded[[name for name in encoded if encoded[name].notna().all() and encoded[name].nunique() > 1]]
    distributions = {str(name): _distribution(values[name]) for name in values}
    shares = []
    for replicate in range(num_bootstrap):
        copied = str(values.columns[replicate % len(values.columns)])
        drawn = rng.integers(len(values), size=len(values))
        table = values.assign(**{_SHUFFLED: rng.permutation(values[copied].to_numpy())}).iloc[drawn]
        kinds = distributions | {_SHUFFLED: distributions[copied]}
        shares.append(_fanova(table, miou[drawn], kinds, seed=int(rng.integers(2**31))))
    return pd.DataFrame(shares)


def _distribution(values: pd.Series) -> BaseDistribution:
    if values.dtype == object:
        return CategoricalDistribution(sorted(values.unique()))
    return FloatDistribution(float(values.min()), float(values.max()))


def _fanova(
    table: pd.DataFrame, miou: np.ndarray, distributions: Mapping[str, BaseDistribution], *, seed: int
) -> dict[str, float]:
    study = optuna.create_study(direction="maximize")
    kinds = dict(distributions)
    study.add_trials(
        [
            optuna.create_trial(value=float(value), params=dict(zip(kinds, params, strict=True)), distributions=kinds)
            for *params, value in table[list(kinds)].assign(miou=miou).itertuples(index=False)
        ]
    )
    forest = optuna.importance.FanovaImportanceEvaluator(n_trees=_NUM_TREES, max_depth=_MAX_DEPTH, seed=seed)
    try:
        return forest.evaluate(study)
    except RuntimeError:  # every tree drew one mIoU only: this replicate shows no variance to explain
        return dict.fromkeys(kinds, 0.0)


def _judge(name: str, shares: pd.DataFrame) -> tuple[str, float, float, float, bool, str]:
    low, high = shares[name].quantile([0.05, 0.95])
    noise = shares[_SHUFFLED].quantile(0.95)
    reason = "" if low > noise else f"Its interval starts at {low:.2f}; a shuffled copy reaches {noise:.2f}."
    return name, float(shares[name].mean()), float(low), float(high), not reason, reason


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Optuna announces every study, and a replicate is a study."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(level, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def _surface(pair: str, part: pd.DataFrame, num_grid: int) -> pd.DataFrame:
    observed = np.log10(part[_LAMBDAS].to_numpy(float))
    low, high = observed.min(axis=0), observed.max(axis=0)
    process = _fit((observed - low) / (high - low), part["miou"].to_numpy(float))
    unit = np.array(list(product(np.linspace(0, 1, num_grid), repeat=2)))
    mean, sd = process.predict(unit, return_std=True)
    kd, hakd = (10 ** (low + unit * (high - low))).T
    return pd.DataFrame(dict(zip(SURFACE_COLUMNS, (pair, kd, hakd, mean, sd), strict=True)))


def _fit(inputs: np.ndarray, miou: np.ndarray) -> GaussianProcessRegressor:
    """The likeliest of 64 Gaussian processes; signal and noise share the variance of mIoU.

    A grid instead of gradient ascent: with few trials the likelihood is flat, so an optimiser ends at a bound or not at
    all (and warns), and its answer depends on where it starts. `alpha` is white noise that the predicted sd leaves out.
    """
    candidates = (
        GaussianProcessRegressor(
            ConstantKernel(1 - noise) * Matern([kd, hakd], nu=2.5), alpha=noise, optimizer=None, normalize_y=True
        ).fit(inputs, miou)
        for kd, hakd, noise in product(_LENGTHS, _LENGTHS, _NOISES)
    )
    return max(candidates, key=lambda process: process.log_marginal_likelihood_value_)
