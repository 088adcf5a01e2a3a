"""What a pair gains over the matched student alone: typically, and with the best config of the search.

A trial's gain is its mIoU minus that of its student alone on the same seed. The trials of one seed share that
baseline and its luck, so they are not independent; and the best of many trials is lucky. Both are in one model of the
gain g of a trial of config k on seed s:

    g = mu + d_s + c_k + e,    d ~ N(0, V),  c ~ N(0, C),  e ~ N(0, E)

mu is the typical gain, mu + c_k that of a config. Given the variances, both are normal (Henderson's mixed-model
equations); the variances are drawn from their generalised fiducial distributions, scaled inverse chi-square ones.
Shrinking c_k towards 0 by C / (C + E) is what takes the winner's curse out of the best: the rest of its lead is luck.

Source: Henderson, Biometrics 1975 (equations); Weerahandi, JASA 1993 (intervals); Efron, JASA 2011 (selection).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dashboards.frames import COLUMNS, PARAM
from explorer.statistics import readings
from explorer.statistics.effects import Effects

_DRAWS = 2000  # the second half mirrors the first, so that a mean is exact
_FEW_PROBES = 4  # of a pair: below that, its typical gain is taken from all complete trials
_OWN_FREEDOM = 5  # of a pair's spread between configs: below that, all pairs' is taken
_TINY = 1e-12  # of a variance of mIoU: a millionth of a point, squared
_NO_NOISE = "One seed, and no config repeated: the noise between seeds is unknown, so there is no interval."


@dataclass(frozen=True)
class Noise:
    """Draws of the variances that all pairs share; mIoU squared.

    Attributes:
        seed: of V, what trials of one seed share; trial: of E, of a trial by itself. Both [draws].
        within: sum of squares of gains about the mean of their pair and seed, over all pairs; freedom: of it.
    """

    seed: np.ndarray
    trial: np.ndarray
    within: float
    freedom: int


def gains(
    trials: pd.DataFrame, noise: pd.DataFrame, *, effects: Effects | None = None, equal: str = "steps", seed: int = 0
) -> pd.DataFrame:
    """The frame `gains`: by pair, and where a pair was tried with several methods, by pair and method too.

    "typical" is the mean over the space: of the probes, random and never pruned, where a pair has four; else of the
    complete trials, which are survivors where others were pruned. "best" is the config whose gain, freed of luck, is
    highest. The noise of a trial is the seed-noise floor (where no config was repeated, what the seeds' means differ
    by), or what trials of one seed scatter about the model of the study if that is less. The best of several students
    alone on a seed is lucky too: where the floor is known, its luck is taken off.

    Args:
        trials: the trials frame; with the columns of `readings.reading`, if gains are not those of whole runs.
        noise: the frame `noise`.
        effects: the model of the study, where there is one.
        equal: what the gains in it are equal at: steps or compute.
        seed: of the draws.
    """
    done = _paired(trials, noise)
    rng = np.random.default_rng(seed)
    shared = _noise(done, noise, effects, rng)
    pruned = trials[(trials["role"] == "search") & (trials["state"] == "PRUNED")].groupby(["pair", "method"]).size()
    rows = [
        (*row, equal, bound(part))
        for (pair, method), part in parts(done)
        for row in _rows(pair, method, part, shared, rng, num_pruned=_of(pruned, pair, method))
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS["gains"])).astype(COLUMNS["gains"])


def bound(rows: pd.DataFrame) -> str:
    """Whether gains read so are "at least", "at most" or "about" what whole runs would have; empty: they are whole."""
    if "early" not in rows:
        return ""
    early, alone = bool(rows["early"].any()), bool(rows["alone_early"].any())
    return "about" if early and alone else "at least" if early else "at most" if alone else ""


def parts(done: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Trials by pair and method; the method is empty for all of a pair's."""
    for pair, part in done.groupby("pair"):
        yield (str(pair), ""), part
        if part["method"].nunique() > 1:
            yield from (((str(pair), str(method)), own) for method, own in part.groupby("method"))


def _of(counts: pd.Series, pair: str, method: str) -> int:
    return int(sum(count for (of, by), count in counts.items() if of == pair and method in ("", by)))


def _paired(trials: pd.DataFrame, noise: pd.DataFrame) -> pd.DataFrame:
    """Complete search trials with a matched student alone; `config` numbers the configs, `alone` its trials, `luck` is
    how much of the best one's lead over their mean is luck.
    """
    rows = (trials["role"] == "search") & (trials["state"] == "COMPLETE") & trials["gain"].notna()
    done = trials[rows & trials["pair"].notna()]
    same = ["pair", "method", *(name for name in map(str, trials) if name.startswith(PARAM) and name != f"{PARAM}seed")]
    done = done.assign(config=done.groupby(same, dropna=False).ngroup())
    if "lead" not in done:
        done = done.merge(readings.of_finals(trials), on=readings.KEY, how="left")
    variance = float(noise["sd"].iloc[0]) ** 2 if len(noise) else 0.0
    share = (variance / done["spread"].clip(lower=_TINY)).clip(upper=1.0).where(done["alone"] > 1, 0.0)
    luck = share * done["lead"]
    return done.assign(luck=luck, gain=done["gain"] + luck.fillna(0.0))


def _noise(done: pd.DataFrame, noise: pd.DataFrame, effects: Effects | None, rng: np.random.Generator) -> Noise | None:
    """The variances that pairs share; None where neither repeats nor seeds tell them.

    What the seeds' means differ by (V, and the trials' spread divided by their number) is pooled over pairs; pairs of
    one student share their baselines, so they count as one for its freedom. The floor is taken for V where it has more
    freedom.
    """
    groups = done.groupby(["pair", "seed"])["gain"]
    within, freedom = float(((done["gain"] - groups.transform("mean")) ** 2).sum()), len(done) - groups.ngroups
    spread = within / freedom if freedom else 0.0
    means = done.groupby(["pair", "student", "seed"])["gain"].agg(["mean", "size"]).reset_index()
    between = float(((means["mean"] - means.groupby("pair")["mean"].transform("mean")) ** 2).sum())
    num = int((means.groupby("pair")["seed"].nunique() - 1).sum())
    by_seeds = int((means.groupby("student")["seed"].nunique() - 1).sum())
    floor = int(noise["freedom"].iloc[0]) if len(noise) else 0
    if not (num or floor):
        return None
    repeats = _inverse(float(noise["sd"].iloc[0]) ** 2, floor, rng) if floor else None
    if num and by_seeds >= floor:
        means_vary = _inverse(between / num, by_seeds, rng)
        shared = np.maximum(means_vary - spread * float((1 / means["size"]).mean()), _TINY)
    else:
        assert repeats is not None
        shared = repeats
    trial = shared if repeats is None else repeats
    if effects is not None and freedom:
        trial = np.minimum(trial, _twice(np.resize(_about_model(done, effects, freedom), _DRAWS // 2)))
    return Noise(shared, np.maximum(trial, _TINY), within, freedom)


def _about_model(done: pd.DataFrame, effects: Effects, freedom: int) -> np.ndarray:
    """[draws of the model] of the variance of trials of one pair and seed about it."""
    left = pd.DataFrame((done["gain"].to_numpy(float) - effects.at(done)).T, index=done.index)
    centred = left - left.groupby([done["pair"], done["seed"]]).transform("mean")
    return (centred**2).sum().to_numpy() / freedom


def _inverse(variance: float, freedom: int, rng: np.random.Generator) -> np.ndarray:
    """[draws]: what the true variance may be, given one that was estimated with so many degrees of freedom."""
    return _twice(np.maximum(variance * freedom / rng.chisquare(freedom, _DRAWS // 2), _TINY))


def _twice(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, values])


def _mirrored(rng: np.random.Generator, size: int = 1) -> np.ndarray:
    """[draws, size] standard normal."""
    half = rng.standard_normal((_DRAWS // 2, size))
    return np.concatenate([half, -half])


def _rows(
    pair: str, method: str, part: pd.DataFrame, shared: Noise | None, rng: np.random.Generator, *, num_pruned: int
) -> Iterator[tuple[object, ...]]:
    identity = (pair, *(str(part[name].iloc[0]) for name in ("teacher", "student")), method)
    probes = part[part["probe"].astype(bool)]
    random = len(probes) >= _FEW_PROBES
    usual = probes if random else part
    typical = None if shared is None else _draws(usual, shared, rng)[0]
    raw = float(usual.groupby("seed")["gain"].mean().mean())
    remark = _typical_remark(len(probes) if random else 0, num_pruned)
    yield _row(identity, "typical", usual, raw, typical, remark + _alone_remark(part))
    best = None if shared is None else _draws(part, shared, rng)[1]
    highest = float(part.groupby("config")["gain"].mean().max())
    yield _row(identity, "best", part, highest, best, _best_remark(part, highest, best))


def _row(
    identity: tuple[str, ...], statistic: str, part: pd.DataFrame, raw: float, draws: np.ndarray | None, remark: str
) -> tuple[object, ...]:
    counts = (len(part), part["seed"].nunique())
    if draws is None:
        return (*identity, statistic, *counts, raw, np.nan, np.nan, False, f"{_NO_NOISE} {remark}".strip())
    low, high = np.quantile(draws, [0.05, 0.95])
    return (*identity, statistic, *counts, float(np.mean(draws)), low, high, bool(low > 0 or high < 0), remark.strip())


def _typical_remark(num_probes: int, num_pruned: int) -> str:
    if num_probes:
        return f"The mean of {num_probes} random trials that were never pruned. "
    return f"The mean of survivors: {num_pruned} pruned trials are not in it. " if num_pruned else ""


def _alone_remark(part: pd.DataFrame) -> str:
    most = int(part["alone"].max()) if part["alone"].notna().any() else 1
    if most < 2:
        return ""
    taken = 100 * float(part["luck"].mean())
    if taken > 0:
        return f"{taken:.1f} points of the best student alone (of {most}) are put down to luck. "
    return f"The student alone is the best of {most} trials, whose luck is unknown: the gain is rather more. "


def _best_remark(part: pd.DataFrame, highest: float, draws: np.ndarray | None) -> str:
    configs = part["config"].nunique()
    if draws is None:
        return f"It is the highest of {configs} configs, luck included: the true gain is rather less."
    luck = 100 * (highest - float(np.mean(draws)))
    return f"The highest of {configs} configs had {100 * highest:+.1f} points, {luck:.1f} of them put down to luck."


def _draws(part: pd.DataFrame, shared: Noise, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """[draws] of the typical gain and of the best config's gain."""
    seeds, of_seed = np.unique(part["seed"].to_numpy(), return_inverse=True)
    configs, of_config = np.unique(part["config"].to_numpy(), return_inverse=True)
    gain = part["gain"].to_numpy(float)
    design = np.column_stack([np.ones(len(part)), np.eye(len(seeds))[of_seed]])
    sums = np.zeros((len(configs), design.shape[1] + 1))
    np.add.at(sums, of_config, np.column_stack([design, gain]))
    config, trial = _config_and_trial(part, shared, rng)
    repeats = sums[:, 0]
    weight = config / (trial + np.outer(repeats, config))  # [configs, draws]
    effects = _seed_effects(design, gain, sums, weight, trial, shared.seed, rng)
    lead = weight * (sums[:, -1:] - sums[:, :-1] @ effects.T)  # of each config over mu: its mean
    best = int(np.argmax(lead.mean(axis=1)))
    mu = effects[:, 0]
    return mu, mu + lead[best] + np.sqrt(weight[best] * trial) * _mirrored(rng)[:, 0]


def _config_and_trial(part: pd.DataFrame, shared: Noise, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """[draws] of C and E: the spread of trials of one seed is both, so E is at most that."""
    groups = part.groupby("seed")["gain"]
    within, freedom = float(((part["gain"] - groups.transform("mean")) ** 2).sum()), len(part) - groups.ngroups
    if freedom < _OWN_FREEDOM:
        within, freedom = shared.within, shared.freedom
    if not freedom:
        return np.full(_DRAWS, _TINY), shared.trial
    both = _inverse(within / freedom, freedom, rng)
    trial = np.minimum(shared.trial, both)
    return np.maximum(both - trial, _TINY), trial


def _seed_effects(
    design: np.ndarray,
    gain: np.ndarray,
    sums: np.ndarray,
    weight: np.ndarray,
    trial: np.ndarray,
    seed: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """[draws, 1 + seeds] of mu and d: the mixed-model equations with the configs absorbed (Sherman and Morrison)."""
    known, right = sums[:, :-1], sums[:, -1]
    repeats, of_config = np.unique(known[:, 0], return_inverse=True)
    size = design.shape[1]
    matrix = np.broadcast_to(design.T @ design, (len(trial), size, size)).copy()
    vector = np.broadcast_to(design.T @ gain, (len(trial), size)).copy()
    for kind in range(len(repeats)):  # configs tried equally often weigh the same
        own = of_config == kind
        share = weight[np.flatnonzero(own)[0]]
        matrix -= share[:, None, None] * (known[own].T @ known[own])
        vector -= share[:, None] * (known[own].T @ right[own])
    matrix /= trial[:, None, None]
    matrix[:, range(1, size), range(1, size)] += 1 / seed[:, None]
    covariance = np.linalg.inv(matrix)
    mean = np.einsum("dij,dj->di", covariance, vector / trial[:, None])
    root = np.linalg.cholesky((covariance + covariance.transpose(0, 2, 1)) / 2)
    return mean + np.einsum("dij,dj->di", root, _mirrored(rng, size))
