"""Steps of training until a sweep has found the best: ours against stock Ray Tune, on recorded curves.

Every method searches the same space and sees the same curves (`curves.npz`, made by `record.py`: real HeteroAKD on
`earth`), four trials at a time, at the same cost: a step of training. The space is the recorded grid; a trial's seed
is its number modulo the recorded seeds. A method has arrived when a trial of a config within 0.5 % (or 5 %) of the
table's best (mean over seeds, after the whole budget) has been trained whole.

Stock is Ray Tune as its documentation sets it up: `OptunaSearch` and `ASHAScheduler` with their defaults, driven as
Tune's controller drives them. Nothing is trained, so no teacher and no student alone is counted on any side.

Run: `python benchmarks/search.py`; writes benchmarks/search.json.
"""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from collections.abc import Callable
from multiprocessing import Pool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from explorer.search import engines
from explorer.search.arms import Arm
from explorer.search.bridge import Bridge
from explorer.search.plan import plans
from explorer.search.simulator import Event, Search, simulate
from explorer.study import StudySpec

HERE = Path(__file__).parent
OUT = HERE / "search.json"
PAPER = {"lr": 1e-3, "lambda_kd": 0.1, "temperature": 1.0}  # as the presets enqueue it
WORKERS, REPEATS = 4, 50
QUARTILES = (0.25, 0.5, 0.75)
NEAR = {"within_0.5_percent": 0.005, "within_5_percent": 0.05}
MOST = 100  # budgets of a full trial that a method may spend


class Table:
    """The recorded curves."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            self.miou, about = file["miou"].astype(float), json.loads(str(file["about"]))
        self.grid, self.seeds = about["grid"], about["seeds"]
        self.steps = [about["every"] * (n + 1) for n in range(about["steps"] // about["every"])]
        self.final = self.miou[..., -1].mean(axis=0)

    def place(self, config: dict[str, Any]) -> tuple[int, ...]:
        return tuple(levels.index(config[name]) for name, levels in self.grid.items())

    def curve(self, config: dict[str, Any]) -> list[tuple[int, float]]:
        values = self.miou[(self.seeds.index(config["seed"]), *self.place(config))]
        return [(step, float(value)) for step, value in zip(self.steps, values, strict=True)]

    def reached(self, event: Event, near: float) -> bool:
        """A config this near to the best has been trained whole."""
        whole = event.step == self.steps[-1]
        return whole and bool(self.final[self.place(event.config)] >= (1 - near) * np.nanmax(self.final))


class Stock:
    """A Tune searcher and a Tune scheduler, called as Tune's controller calls them."""

    def __init__(self, searcher: Any, scheduler: Any, seeds: list[int]) -> None:
        self._searcher, self._scheduler, self._seeds = searcher, scheduler, seeds
        self._trials: dict[str, Any] = {}

    def suggest(self, trial_id: str) -> dict[str, Any]:
        config = self._searcher.suggest(trial_id)
        trial = SimpleNamespace(trial_id=trial_id, status="RUNNING", results=0)
        self._trials[trial_id] = trial
        self._scheduler.on_trial_add(None, trial)
        return {"config": {**config, "seed": self._seeds[(len(self._trials) - 1) % len(self._seeds)]}}

    def report(self, trial_id: str, result: dict[str, Any]) -> str:
        trial = self._trials[trial_id]
        trial.results += 1
        result = {**result, "training_iteration": trial.results}
        decision = self._scheduler.on_trial_result(None, trial, result)
        if decision == TrialScheduler.CONTINUE:
            self._searcher.on_trial_result(trial_id, result)
        return str(decision)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._searcher.on_trial_complete(trial_id, result=result, error=error)


class Uniform:
    """Random search."""

    def __init__(self, table: Table, seed: int) -> None:
        self._table, self._rng = table, np.random.default_rng(seed)

    def suggest(self, _: str) -> dict[str, float]:
        return {name: levels[self._rng.integers(len(levels))] for name, levels in self._table.grid.items()}

    def on_trial_result(self, *_: Any, **__: Any) -> None: ...

    def on_trial_complete(self, *_: Any, **__: Any) -> None: ...


def ours(table: Table, seed: int, **changed: Any) -> Search:
    """The product's search arm with its defaults, in memory."""
    spec = StudySpec.parse(
        {
            "space": table.grid,
            "base": {"steps": table.steps[-1], "eval_every": table.steps[0]},
            "enqueue": [
                {"lr": 1e-3, "lambda_kd": 0.1, "lambda_hakd": weight, "temperature": 1.0} for weight in (1.0, 10.0)
            ],
            "seeds": table.seeds,
            "num_trials": 10 * MOST,
            "probes": 0,  # they serve the importances, not the search
            "sampler_seed": seed,
            **changed,
        }
    )
    name = f"replay {seed}"  # Hyperband deals brackets by the study's name
    study = optuna.create_study(
        study_name=name, direction="maximize", pruner=engines.pruner(spec, budget=table.steps[-1])
    )
    for point in spec.enqueue:
        study.enqueue_trial(point)
    return Bridge([Arm(plans(spec)["search"], study, spec)], grace=spec.grace(table.steps[-1]))


def asha(table: Table) -> Any:
    return AsyncHyperBandScheduler(metric="miou", mode="max", max_t=len(table.steps))


def stock(table: Table, seed: int) -> Search:
    space = {name: tune.choice(levels) for name, levels in table.grid.items()}
    return Stock(OptunaSearch(space, metric="miou", mode="max", seed=seed), asha(table), table.seeds)


METHODS: dict[str, Callable[[Table, int], Search]] = {
    "ours (default)": ours,
    "ours, no pruning": lambda table, seed: ours(table, seed, pruner="none"),
    "ours, no enqueued points": lambda table, seed: ours(table, seed, enqueue=[]),
    "OptunaSearch + ASHA (stock)": stock,
    "random + ASHA": lambda table, seed: Stock(Uniform(table, seed), asha(table), table.seeds),
    "random, no pruning": lambda table, seed: Stock(Uniform(table, seed), FIFOScheduler(), table.seeds),
}


def steps_to_target(arguments: tuple[str, str, int]) -> list[float]:
    """Steps of all trials until a method came near the best, for each of NEAR; infinite beyond MOST budgets."""
    path, method, seed = arguments
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray.tune.search.optuna.optuna_search").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    table, most = Table(Path(path)), min(NEAR.values())
    limit = MOST * table.steps[-1]
    events = simulate(
        METHODS[method](table, seed),
        table.curve,
        workers=WORKERS,
        until=lambda event: table.reached(event, most) or event.spent >= limit,
    )
    first = (next((event.spent for event in events if table.reached(event, near)), np.inf) for near in NEAR.values())
    return [float(spent) for spent in first]


def _finite(steps: float) -> int | None:
    """None: not reached."""
    return int(steps) if np.isfinite(steps) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", default=str(HERE / "curves.npz"))
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--out", default=str(OUT))
    options = parser.parse_args()
    table = Table(Path(options.table))
    figures: dict[str, Any] = {
        "configs": int(table.final.size),
        "seeds": len(table.seeds),
        "best": round(float(np.nanmax(table.final)), 4),
        "configs_near": {
            name: int((table.final >= (1 - near) * np.nanmax(table.final)).sum()) for name, near in NEAR.items()
        },
        "budget": table.steps[-1],
        "workers": WORKERS,
        "most_steps": MOST * table.steps[-1],
        "repeats": options.repeats,
        "steps_to_target": {},
    }
    with Pool(2) as pool:
        for method in options.methods:
            jobs = [(options.table, method, seed) for seed in range(options.repeats)]
            steps = np.array(pool.map(steps_to_target, jobs, chunksize=1))
            figures["steps_to_target"][method] = found = {}
            for name, spent in zip(NEAR, steps.T, strict=True):
                lower, median, upper = (_finite(np.quantile(spent, q, method="closest_observation")) for q in QUARTILES)
                missed = int(np.isinf(spent).sum())
                found[name] = {"median": median, "quartiles": [lower, upper], "not_reached": missed}
                print(f"{method:28} {name:19} {median} steps, {lower} to {upper}, not reached: {missed}", flush=True)
    Path(options.out).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
