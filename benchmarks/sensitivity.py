"""Importance against known truths: do 90 % intervals hold them nine times in ten, and is the order right?

Synthetic studies whose shares are known in closed form, searched as a sweep is: Optuna's TPE proposes, successive
halving or Hyperband stops most trials, one in six is a probe (random, never stopped). Learning curves saturate,
at a speed that depends on lr; noise is part of the seed, which stays, and part of the evaluation.

Every case is searched twice, its signal 3.3 or (", weak") 1.3 times the noise of a trial. "Beyond the model" has a
bump whose height hangs on another dimension, of which the model expresses nine tenths.

Compared on the same trials: Optuna's default importance (PED-ANOVA) and its fANOVA on the study as stock Ray Tune
records it (a stopped trial is complete, with the value it had), and our figures of the complete trials alone, which are
survivors and probes. Two truths: the share of the variance, and, as PED-ANOVA asks, of what parts the best tenth
from the rest ("top").

A wrong order: of two dimensions whose true shares differ, the one that matters less is ranked first; a tie is half.
An interval of a dimension that does nothing holds 0 unless something is claimed of it, so coverage is told of those
that do something, and of all.
Run: `python benchmarks/sensitivity.py`, with fewer `--repeats` for a look; writes benchmarks/sensitivity.json.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from explorer.statistics.importance import importance

OUT = Path(__file__).with_name("sensitivity.json")
NUM_TRIALS, NUM_PROBES, STEPS = 100, 16, 8
SIGNAL, WEAK = 0.05, 0.02  # sd of mIoU over the space
PERSISTENT, FLEETING = 0.012, 0.009  # sd of mIoU of the seed, and of an evaluation
Units = Mapping[str, Any]
"""Dimension -> where in its range, in [0, 1]; a float or an array."""

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "lambda_kd": FloatDistribution(1e-3, 10, log=True),
    "lambda_hakd": FloatDistribution(1e-2, 30, log=True),
    "temperature": FloatDistribution(1, 8),
    "projector_depth": IntDistribution(1, 3),
    "kem": CategoricalDistribution([False, True]),
}
_FIELDS = {"log": False, "low": np.nan, "high": np.nan}
WIDTH = {"projector_width": FloatDistribution(16, 256, log=True)}


def slope(unit: Any) -> Any:
    """Mean 0 and variance 1 over [0, 1]."""
    return np.sqrt(3) * (2 * unit - 1)


def valley(unit: Any) -> Any:
    """Mean 0, variance 1, uncorrelated with `slope`."""
    return np.sqrt(5) * (6 * unit**2 - 6 * unit + 1)


def rise(unit: Any) -> Any:
    """Rises, flattens and falls a little: what a weight does. Mean 0, variance 1."""
    return (slope(unit) - valley(unit)) / np.sqrt(2)


def stairs(unit: Any) -> Any:
    """Of three values 0, 0.5, 1: mean 0, variance 1."""
    return np.sqrt(1.5) * (2 * unit - 1)


@dataclass(frozen=True)
class Case:
    """A function of known shares.

    Attributes:
        function: units -> mIoU in sd over the space, mean 0 and variance 1.
        shares: dimension -> its true share of the variance; the others have none.
        crossing: in mIoU, by how much a high lr is ahead early on, though not in the end.
        conditional: projector_width is read where projector_depth > 1.
        signal: sd of mIoU over the space.
    """

    function: Callable[[Units], Any]
    shares: dict[str, float]
    crossing: float = 0.0
    conditional: bool = False
    signal: float = SIGNAL

    @property
    def space(self) -> dict[str, BaseDistribution]:
        return SPACE | (WIDTH if self.conditional else {})

    @property
    def dimensions(self) -> pd.DataFrame:
        kinds = {FloatDistribution: "float", IntDistribution: "int", CategoricalDistribution: "categorical"}
        rows = [
            (name, kinds[type(kind)], *(getattr(kind, field, default) for field, default in _FIELDS.items()))
            for name, kind in self.space.items()
        ]
        return pd.DataFrame(rows, columns=["name", "kind", *_FIELDS])


def bump(unit: Any) -> Any:
    """A bump a quarter of the range wide; mean 0, variance 1."""
    return (np.exp(-(((unit - 0.7) / 0.12) ** 2)) - 0.21265) / 0.32431


CASES = {
    "one dominant": Case(
        lambda u: np.sqrt(0.9) * rise(u["lambda_hakd"]) + np.sqrt(0.1) * slope(u["lr"]),
        {"lambda_hakd": 0.9, "lr": 0.1},
    ),
    "two medium": Case(
        lambda u: np.sqrt(0.6 / 5) * (slope(u["lr"]) - 2 * valley(u["lr"])) + np.sqrt(0.4) * slope(u["lambda_hakd"]),
        {"lr": 0.6, "lambda_hakd": 0.4},
    ),
    "step on the log scale": Case(
        lambda u: np.sqrt(0.89 / 0.21) * ((u["lr"] < 0.3) - 0.3) + np.sqrt(0.11) * slope(u["temperature"]),
        {"lr": 0.89, "temperature": 0.11},
    ),
    "interaction": Case(
        lambda u: (
            np.sqrt(0.5) * slope(u["lr"])
            + np.sqrt(0.2) * slope(u["lambda_hakd"])
            + np.sqrt(0.3) * slope(u["lr"]) * slope(u["lambda_hakd"])
        ),
        {"lr": 0.5, "lambda_hakd": 0.2},
    ),
    "conditional": Case(  # where depth > 1: variance 0.5 * 0.375 by depth, 0.3 by lr, 0.3 by width
        lambda u: (
            np.sqrt(0.5) * stairs(u["projector_depth"])
            + np.sqrt(0.3) * slope(u["lr"])
            + np.where(u["projector_depth"] > 0, np.sqrt(0.3) * slope(u["projector_width"]), 0)
        ),
        {"projector_depth": 0.5, "lr": 0.3, "projector_width": 0.3 / (0.5 * 0.375 + 0.6)},
        conditional=True,
    ),
    "crossing curves": Case(
        lambda u: np.sqrt(0.93) * rise(u["lambda_kd"]) - np.sqrt(0.07) * slope(u["lr"]),
        {"lambda_kd": 0.93, "lr": 0.07},
        crossing=0.06,
    ),
    "four of a kind": Case(
        lambda u: (
            -np.sqrt(0.4) * valley(u["lr"])
            + np.sqrt(0.3) * slope(u["lambda_hakd"])
            + np.sqrt(0.2) * (2 * u["kem"] - 1)
            + np.sqrt(0.1) * stairs(u["projector_depth"])
        ),
        {"lr": 0.4, "lambda_hakd": 0.3, "kem": 0.2, "projector_depth": 0.1},
    ),
    "beyond the model": Case(
        lambda u: (
            np.sqrt(0.4) * bump(u["lambda_hakd"])
            + np.sqrt(0.3) * slope(u["lr"])
            + np.sqrt(0.3) * bump(u["lambda_hakd"]) * (2 * u["kem"] - 1)
        ),
        {"lambda_hakd": 0.4, "lr": 0.3},
    ),
}
MORE = {"beyond the model": 4}  # times as many studies, of which what the intervals hold is known to 4 points
WEAKLY = ", weak"
CASES |= {f"{name}{WEAKLY}": replace(case, signal=WEAK) for name, case in CASES.items()}


def unit(kind: BaseDistribution, value: Any) -> float:
    """Where in its range a value lies, in [0, 1]."""
    if isinstance(kind, CategoricalDistribution):
        return float(value)
    low, high = kind.low, kind.high  # type: ignore[attr-defined]
    if getattr(kind, "log", False):
        low, high, value = np.log(low), np.log(high), np.log(value)
    return float((value - low) / (high - low))


def curve(case: Case, units: Units, rng: np.random.Generator) -> np.ndarray:
    """(STEPS,) of mIoU."""
    final = 0.4 + case.signal * float(case.function(units))
    time = np.arange(1, STEPS + 1) / STEPS
    speed = 2.5 * np.exp(units["lr"] - 0.5)
    rising = 0.05 + (final - 0.05) * (1 - np.exp(-speed * time)) / (1 - np.exp(-speed))
    ahead = case.crossing * slope(units["lr"]) * (1 - time)
    return rising + ahead + PERSISTENT * rng.normal() * np.sqrt(time) + FLEETING * rng.normal(size=STEPS)


def search(name: str, seed: int, *, num_probes: int = NUM_PROBES) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The trials and curves frames of one sweep; every third one is stopped by Hyperband, the others by halving."""
    case, rng = CASES[name], np.random.default_rng([seed, *name.encode()])
    halving = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    hyperband = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=STEPS, reduction_factor=3)
    pruner = hyperband if seed % 3 == 0 else halving
    study = optuna.create_study(study_name=f"{name} {seed}", direction="maximize", pruner=pruner)
    probes = {round(place) for place in np.linspace(2, NUM_TRIALS - 1, num_probes)}
    tpe = optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)
    uniform = optuna.samplers.RandomSampler(seed=1000 + seed)
    rows, curves = [], []
    for number in range(NUM_TRIALS):
        study.sampler = uniform if number in probes else tpe
        trial = study.ask()
        params = {key: trial._suggest(key, kind) for key, kind in SPACE.items()}
        if case.conditional and params["projector_depth"] > 1:
            params |= {key: trial._suggest(key, kind) for key, kind in WIDTH.items()}
        values = curve(case, {"projector_width": 0.0, **_units(case, params)}, rng)
        step = _train(trial, values, prunable=number not in probes)
        state = "COMPLETE" if step == STEPS else "PRUNED"
        study.tell(trial, values[-1] if step == STEPS else None, state=optuna.trial.TrialState[state])
        curves += [("search", number, at + 1, values[at]) for at in range(step)]
        identity = {"role": "search", "number": number, "state": state, "probe": number in probes}
        rows.append(
            identity | {"step": step, "miou": values[step - 1]} | {f"param.{key}": v for key, v in params.items()}
        )
    return pd.DataFrame(rows), pd.DataFrame(curves, columns=["role", "number", "step", "miou"])


def _units(case: Case, params: dict[str, Any]) -> dict[str, float]:
    return {name: unit(case.space[name], value) for name, value in params.items()}


def _train(trial: optuna.Trial, values: np.ndarray, *, prunable: bool) -> int:
    """Report until told to stop; the last step."""
    for step, value in enumerate(values, start=1):
        trial.report(float(value), step)
        if prunable and step < STEPS and trial.should_prune():
            return step
    return STEPS


def stock(case: Case, trials: pd.DataFrame) -> optuna.Study:
    """The same trials, each complete with the last value it had."""
    study = optuna.create_study(direction="maximize")
    for row in trials.to_dict("records"):
        params = {name: row[f"param.{name}"] for name in case.space if pd.notna(row[f"param.{name}"])}
        kinds = {name: case.space[name] for name in params}
        study.add_trial(optuna.create_trial(value=row["miou"], params=params, distributions=kinds))
    return study


def best_tenth(case: Case, *, within: bool = False) -> dict[str, float]:
    """Dimension -> its true share of what parts the best tenth of the space from all of it, by brute force.

    Args:
        within: of the part of the space in which projector_width is read.
    """
    rng = np.random.default_rng(0)
    units = {name: rng.random(2**18) for name in case.space}
    units["kem"] = (units["kem"] < 0.5).astype(float)
    units["projector_depth"] = np.floor(3 * units["projector_depth"]) / 2
    if within:
        units = {name: values[units["projector_depth"] > 0] for name, values in units.items()}
    miou = case.function(units)
    best = miou >= np.quantile(miou, 0.9)
    parts = {}
    for name, values in units.items():
        bins = 8 if len(np.unique(values)) > 3 else np.r_[np.unique(values), 9.0]
        among, everywhere = (np.histogram(part, bins, range=(0, 1))[0] / len(part) for part in (values[best], values))
        parts[name] = float(((among - everywhere) ** 2 / everywhere).sum())
    return {name: part / sum(parts.values()) for name, part in parts.items()}


def wrong_order(shares: Mapping[str, float], truth: Mapping[str, float], names: list[str]) -> float:
    """Share of the pairs of dimensions of different truth that are ranked the wrong way; a tie is half."""
    wrong = [
        0.5 - 0.5 * np.sign((truth[one] - truth[other]) * (shares.get(one, 0.0) - shares.get(other, 0.0)))
        for one, other in combinations(names, 2)
        if truth[one] != truth[other]
    ]
    return float(np.mean(wrong))


def one(job: tuple[str, int]) -> dict[str, Any]:
    """All figures of one study."""
    name, seed = job
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    case = CASES[name]
    trials, curves = search(name, seed)
    table = importance(trials, case.dimensions, curves=curves, seed=seed)
    ours = table[table["question"] == "variance"].set_index("dimension").drop("(noise)")
    survivors = importance(trials[trials["state"] == "COMPLETE"], case.dimensions, seed=seed)
    alone = survivors[survivors["question"] == "variance"].set_index("dimension")
    truth = {dimension: case.shares.get(dimension, 0.0) for dimension in case.space}
    top = table[table["question"] == "top"].set_index("dimension").drop("(noise)")
    best = best_tenth(case)
    if case.conditional:
        best["projector_width"] = best_tenth(case, within=True)["projector_width"]
    best = {dimension: share if share > 0.01 else 0.0 for dimension, share in best.items()}
    told = stock(case, trials)
    ranked = list(SPACE)  # all trials have them, so that Optuna judges them too
    default = optuna.importance.get_param_importances(told, params=ranked)
    forest = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    fanova = optuna.importance.get_param_importances(told, params=ranked, evaluator=forest)
    methods = {
        "ours": ours["mean"].to_dict(),
        "ours, complete trials only": alone["mean"].fillna(0).to_dict(),
        "stock (PED-ANOVA)": default,
        "stock fANOVA": fanova,
    }
    return {
        "case": name,
        "pruned": float((trials["state"] == "PRUNED").mean()),
        "wrong_order": {key: wrong_order(shares, truth, ranked) for key, shares in methods.items()},
        "share_error": {
            key: float(np.mean([abs(shares.get(dimension, 0.0) - truth[dimension]) for dimension in ranked]))
            for key, shares in methods.items()
        },
        "wrong_order_top": {
            "ours": wrong_order(top["mean"].to_dict(), best, ranked),
            "stock (PED-ANOVA)": wrong_order(default, best, ranked),
        },
        "intervals": {
            "ours": _intervals(ours, truth),
            "ours, top": _intervals(top, best),
            "ours, complete trials only": _intervals(alone, truth),
        },
    }


def _intervals(table: pd.DataFrame, truth: Mapping[str, float]) -> list[dict[str, Any]]:
    return [
        {
            "share": share,
            "covered": bool(table["low"][name] <= share <= table["high"][name]),
            "width": float(table["high"][name] - table["low"][name]),
            "identified": bool(table["identifiable"][name]),
        }
        for name, share in truth.items()
    ]


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over studies; coverage of all intervals, and of those whose truth is a share or nothing."""
    figures: dict[str, Any] = {"studies": len(found), "pruned": _mean([one["pruned"] for one in found])}
    for kind in ("wrong_order", "wrong_order_top", "share_error"):
        figures[kind] = {key: _mean([one[kind][key] for one in found]) for key in found[0][kind]}
    for method in found[0]["intervals"]:
        rows = pd.DataFrame([row for one in found for row in one["intervals"][method]])
        some, none = rows[rows["share"] > 0], rows[rows["share"] == 0]
        figures[f"intervals of {method}"] = {
            "coverage": _mean(rows["covered"]),
            "coverage_where_a_share": _mean(some["covered"]),
            "coverage_where_nothing": _mean(none["covered"]),
            "width_where_a_share": _mean(some["width"]),
            "identified_where_a_share": _mean(some["identified"]),
            "identified_where_nothing": _mean(none["identified"]),
        }
    return figures


def _mean(values: Any) -> float:
    return round(float(np.mean(values)), 3)


def show(name: str, figures: dict[str, Any]) -> None:
    order, top, held = figures["wrong_order"], figures["wrong_order_top"], figures["intervals of ours"]
    print(
        f"{name:28} pruned {figures['pruned']:.2f}  wrong order: ours {order['ours']:.3f}, stock "
        f"{order['stock (PED-ANOVA)']:.3f}, fANOVA {order['stock fANOVA']:.3f}; top: ours {top['ours']:.3f}, stock "
        f"{top['stock (PED-ANOVA)']:.3f}  coverage of a share {held['coverage_where_a_share']:.3f}, of nothing "
        f"{held['coverage_where_nothing']:.3f}; top {figures['intervals of ours, top']['coverage_where_a_share']:.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--first", type=int, default=1000, help="seed of the first study")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", default=str(OUT))
    options = parser.parse_args()
    every: list[dict[str, Any]] = []  # as many of each kind
    figures: dict[str, Any] = {"trials": NUM_TRIALS, "probes": NUM_PROBES, "repeats": options.repeats}
    with Pool(options.processes) as pool:
        for name in CASES:
            times = MORE.get(name.removesuffix(WEAKLY), 1)
            jobs = [(name, options.first + repeat) for repeat in range(times * options.repeats)]
            found = pool.map(one, jobs, chunksize=1)
            every += found[: options.repeats]
            figures[name] = summary(found)
            show(name, figures[name])
    for name, weak in (("all", False), ("all, weak", True)):
        figures[name] = summary([one for one in every if one["case"].endswith(WEAKLY) == weak])
        show(name, figures[name])
    Path(options.out).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
