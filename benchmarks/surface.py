"""What recorded curves tell of the surface under them: figures of it, and draws of what it may be.

A config's true mean is a Gaussian process over the mixed space: squared-exponential, a length scale for each dimension,
categories differ or do not, and what a config does not read stands at the middle of its range. The scales are not
fitted but sampled from their posterior, because few configs say little of them: under log-normal priors, by elliptical
slices. Seeds give the noise of a config's mean and the luck of a trial, with its correlation between reports.
Source: Murray, Adams, MacKay 2010 (elliptical slice sampling); Wilson et al. 2020 (draws by pathwise conditioning).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import spearmanr

TABLE = Path(__file__).with_name("record.json")
_WIDTHS = float(np.log(3)), 1.0  # prior of log length scales, in ranges; by it configs left out are foretold best
_AMPLITUDE = 1.0  # sd of the log amplitude
_BURN, _THIN, _SAMPLES = 300, 10, 100
_WAVES, _PICKS, _DRAWS = 256, 1024, 40
_LEAST = 1e-8  # variance of a config's mean

Surface = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""True means of configs."""
Kinds = Mapping[str, Mapping[str, Any]]
"""Dimension -> `choices`, or `low`, `high` and `log`; and the `methods` that read it, where not all do."""


def features(kinds: Kinds, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """[configs, columns]: numbers in ranges, categories by columns of which two differ by 1 in squared distance."""
    columns = []
    for name, kind in kinds.items():
        if "choices" in kind:
            columns += [np.array([value == one for value in values[name]]) / np.sqrt(2) for one in kind["choices"]]
            continue
        ends = np.array([kind["low"], kind["high"]])
        scale = np.log if kind["log"] else np.asarray
        read = np.isin(np.asarray(values["method"], dtype=str), kind["methods"]) if "methods" in kind else True
        inside = np.where(read, np.nan_to_num(np.asarray(values[name], dtype=float), nan=ends[0]), ends[0])
        low, high = scale(ends)
        columns.append(np.where(read, (scale(inside) - low) / (high - low), 0.5))
    return np.stack(columns, axis=-1)


def _owners(kinds: Kinds) -> np.ndarray:
    """Which dimension each column is of."""
    return np.repeat(np.arange(len(kinds)), [len(kind.get("choices", "1")) for kind in kinds.values()])


@dataclass(frozen=True)
class Recorded:
    """Units of mIoU.

    Attributes:
        kinds: the space.
        points: [configs, columns]; means: [configs], of finals over seeds.
        level: mean of means; noise: variance of a config's mean, what all configs of a seed share left out.
        rise: [reports, 3] of a regression of a config's reports on (1, final, lr); about: root of the covariance of
            what it leaves, [reports, reports].
        luck: root of the covariance of reports between seeds of a config, [reports, reports].
        scales: samples of the log amplitude and log length scales, [samples, 1 + dimensions].
    """

    kinds: Kinds
    points: np.ndarray
    means: np.ndarray
    level: float
    noise: float
    rise: np.ndarray
    about: np.ndarray
    luck: np.ndarray
    scales: np.ndarray

    def draw(self, number: int) -> Draw:
        """A surface that may be the true one, of a number."""
        rng = np.random.default_rng([4, number])
        amplitude, widths = self._scales(number)
        waves = rng.standard_normal((self.points.shape[1], _WAVES)) / widths[:, None]
        phases, weights = rng.uniform(0, 2 * np.pi, _WAVES), rng.standard_normal(_WAVES)
        prior = Draw(self.kinds, self.points, amplitude, widths, waves, phases, weights, np.zeros(0), self.level)
        within = _kernel(self.points, self.points, amplitude, widths) + self.noise * np.eye(len(self.points))
        left = self.means - prior.at(self.points) - np.sqrt(self.noise) * rng.standard_normal(len(self.points))
        pull = cho_solve(cho_factor(within), left)
        return Draw(self.kinds, self.points, amplitude, widths, waves, phases, weights, pull, self.level)

    def _scales(self, number: int) -> tuple[float, np.ndarray]:
        sample = np.exp(self.scales[number % len(self.scales)])
        return float(sample[0]), sample[1:][_owners(self.kinds)]


@dataclass(frozen=True)
class Draw:
    """A sum of waves, drawn from the prior, and what pulls it to the recorded means."""

    kinds: Kinds
    points: np.ndarray
    amplitude: float
    widths: np.ndarray
    waves: np.ndarray
    phases: np.ndarray
    weights: np.ndarray
    pull: np.ndarray
    level: float

    def __call__(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """True means of configs, [configs]."""
        return self.at(features(self.kinds, values))

    def at(self, points: np.ndarray) -> np.ndarray:
        waves = np.cos(points @ self.waves + self.phases) @ self.weights
        found: np.ndarray = self.level + self.amplitude * np.sqrt(2 / _WAVES) * waves
        if len(self.pull):
            found = found + _kernel(points, self.points, self.amplitude, self.widths) @ self.pull
        return found


def _kernel(one: np.ndarray, other: np.ndarray, amplitude: float, widths: np.ndarray) -> np.ndarray:
    one, other = one / widths, other / widths
    apart = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    kernel: np.ndarray = amplitude**2 * np.exp(-np.maximum(apart, 0) / 2)
    return kernel


def _sampled(points: np.ndarray, means: np.ndarray, noise: float, owners: np.ndarray) -> np.ndarray:
    """Of the posterior of the log amplitude and log length scales, [samples, 1 + dimensions]."""
    rng = np.random.default_rng(4)
    centre = np.array([np.log(means.std()), *np.full(owners.max() + 1, _WIDTHS[0])])
    spread = np.array([_AMPLITUDE, *np.full(owners.max() + 1, _WIDTHS[1])])
    left = means - means.mean()

    def likelihood(place: np.ndarray) -> float:
        sample = np.exp(centre + spread * place)
        within = _kernel(points, points, sample[0], sample[1:][owners]) + noise * np.eye(len(points))
        factor = cho_factor(within, lower=True)
        return float(-left @ cho_solve(factor, left) / 2 - np.log(np.diag(factor[0])).sum())

    place, found = np.zeros(len(centre)), []
    height = likelihood(place)
    for step in range(_BURN + _THIN * _SAMPLES):
        other, least = rng.standard_normal(len(centre)), height + np.log(rng.uniform())
        angle = rng.uniform(0, 2 * np.pi)
        low, high = angle - 2 * np.pi, angle
        while (height := likelihood(moved := place * np.cos(angle) + other * np.sin(angle))) <= least:
            low, high = (angle, high) if angle < 0 else (low, angle)
            angle = rng.uniform(low, high)
        place = moved
        if step >= _BURN and step % _THIN == 0:
            found.append(centre + spread * place)
    return np.array(found)


def curves(table: Mapping[str, Any]) -> np.ndarray:
    """mIoU of each config, seed and report. A trial that diverged has its last report from then on; without one, 0."""

    def whole(miou: list[float]) -> list[float]:
        return miou + (miou or [0.0])[-1:] * (table["reports"] - len(miou))

    return np.array([[whole(own) for own in config["miou"]] for config in table["configs"]])


def columns_of(kinds: Kinds, configs: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Dimension -> [configs]; NaN where it is not read."""
    return {name: np.array([config.get(name, np.nan) for config in configs]) for name in kinds}


def learnt(table: Mapping[str, Any]) -> Recorded:
    """From a table of trials."""
    miou = curves(table)
    kinds, (num, seeds, _) = table["space"], miou.shape
    points = features(kinds, columns_of(kinds, [config["params"] for config in table["configs"]]))
    reports = miou.mean(axis=1)
    means = reports[:, -1]
    between = (miou - reports[:, None]).reshape(num * seeds, -1)
    luck = between.T @ between / (num * (seeds - 1))
    own = miou - reports[:, None] - miou.mean(axis=0) + miou.mean(axis=(0, 1))
    residual = np.einsum("csr,csq->rq", own, own) / ((num - 1) * (seeds - 1))
    noise = max(residual[-1, -1] / seeds, _LEAST)
    design = np.column_stack([np.ones(num), means, points[:, _first(kinds, "lr")]])
    rise = np.linalg.lstsq(design, reports, rcond=None)[0].T
    left = reports - design @ rise.T
    about = left.T @ left / (num - design.shape[1]) - residual / seeds
    about[-1] = about[:, -1] = 0  # the last report is the final
    scales = _sampled(points, means, noise, _owners(kinds))
    return Recorded(kinds, points, means, means.mean(), noise, rise, _root(about), _root(luck), scales)


def _first(kinds: Kinds, name: str) -> int:
    return int(np.flatnonzero(_owners(kinds) == list(kinds).index(name))[0])


def _root(covariance: np.ndarray) -> np.ndarray:
    """[reports, reports], times standard normal numbers; what is below 0 is none."""
    values, vectors = np.linalg.eigh(covariance)
    root: np.ndarray = vectors * np.sqrt(np.maximum(values, 0))
    return root


@cache
def recorded() -> Recorded:
    return learnt(json.loads(TABLE.read_text(encoding="utf-8")))


def figures(table: Mapping[str, Any]) -> dict[str, Any]:
    """What a recording says: whose variance it is, how early a trial tells what it is worth, and luck where lr is good.

    Means and sd are over surfaces that may be the true one; units are points, shares and correlations.
    """
    known, miou = learnt(table), curves(table)
    finals = miou[..., -1]
    luck = float(np.sqrt((known.luck @ known.luck.T)[-1, -1]))
    groups = {"lr": ["lr"], "method": ["method"], "pair": ["pair"]}
    groups["weights"] = [name for name in known.kinds if name not in groups]
    rng = np.random.default_rng(5)
    told: list[dict[str, float]] = []
    beside = []
    for number in range(_DRAWS):
        draw = known.draw(number)
        told.append(shares(known.kinds, draw, groups, luck=luck, rng=rng))
        beside.append(_beside_lr(draw, rng))
    lrs = np.log([config["params"]["lr"] for config in table["configs"]])
    good = np.abs(lrs - lrs[finals.mean(axis=1).argmax()]) <= np.log(2)
    taught = good & [config["params"]["method"] != "task" for config in table["configs"]]
    rest = {name: [round(f(one[name] for one in told), 3) for f in (_mean, _sd)] for name in told[0]}
    return {
        "configs": len(finals),
        "shares": rest,
        "ranks": {"third": round(ranks(miou, table["reports"] // 3 - 1), 3), "whole": round(ranks(miou, -1), 3)},
        "luck": round(100 * luck, 3),
        "luck_without_seed": round(100 * float(np.sqrt(known.noise * finals.shape[1])), 3),
        "configs_sd": round(100 * _between(finals, known.noise), 3),
        "good_lr": {
            **_spreads(finals[good], known.noise),
            "surface_sd": [round(100 * f(beside), 3) for f in (_mean, _sd)],
            "taught": _spreads(finals[taught], known.noise),
        },
        "level": [round(100 * float(f(finals.mean(axis=1))), 2) for f in (np.min, np.median, np.max)],
    }


def ranks(miou: np.ndarray, report: int) -> float:
    """Spearman correlation of trials at a report with the finals of their configs' other seeds, mean over seeds."""
    seeds = range(miou.shape[1])
    pairs = [(one, other) for one in seeds for other in seeds if one != other]
    return float(np.mean([spearmanr(miou[:, one, report], miou[:, other, -1]).statistic for one, other in pairs]))


def _spreads(finals: np.ndarray, noise: float) -> dict[str, float]:
    luck = float(np.sqrt(finals.var(axis=1, ddof=1).mean()))
    between = _between(finals, noise) if len(finals) > 1 else 0.0
    return {"configs": len(finals), "configs_sd": round(100 * between, 3), "luck": round(100 * luck, 3)}


def _between(finals: np.ndarray, noise: float) -> float:
    """Sd of the true means of these configs: of their means, the noise taken out."""
    return float(np.sqrt(max(finals.mean(axis=1).var(ddof=1) - noise, 0)))


def shares(
    kinds: Kinds, surface: Surface, groups: Mapping[str, Sequence[str]], *, luck: float, rng: np.random.Generator
) -> dict[str, float]:
    """Of the variance of a trial: what each group explains alone, what only several do together, and luck.

    Source: Saltelli et al. 2010, first-order indices of independent inputs, by picking a group and drawing the rest.
    """
    one, other = uniform(kinds, _PICKS, rng), uniform(kinds, _PICKS, rng)
    first = surface(one)
    whole = first.var() + luck**2
    found = {}
    for group, names in groups.items():
        picked = surface({**other, **{name: one[name] for name in names}})
        found[group] = float(np.cov(first, picked)[0, 1] / whole)
    found["luck"] = float(luck**2 / whole)
    found["together"] = 1 - sum(found.values())
    return found


def _beside_lr(draw: Draw, rng: np.random.Generator) -> float:
    """Sd of true means at the lr that is best on average over all else."""
    kind, rest = draw.kinds["lr"], uniform(draw.kinds, _PICKS, rng)
    lrs = np.geomspace(kind["low"], kind["high"], 15)
    every = np.array([draw({**rest, "lr": np.full(_PICKS, lr)}) for lr in lrs])
    return float(every[every.mean(axis=1).argmax()].std())


def uniform(kinds: Kinds, size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random configs, what a method does not read included: dimension -> [size]."""
    drawn: dict[str, np.ndarray] = {}
    for name, kind in kinds.items():
        if "choices" in kind:
            drawn[name] = np.array(kind["choices"], dtype=object)[rng.integers(len(kind["choices"]), size=size)]
        elif kind["log"]:
            drawn[name] = np.exp(rng.uniform(np.log(kind["low"]), np.log(kind["high"]), size))
        else:
            drawn[name] = rng.uniform(kind["low"], kind["high"], size)
    return drawn


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))


def _sd(values: Any) -> float:
    return float(np.std(list(values)))
