"""How good the config is that a search recommends: ours against its rivals, in worlds whose truth is known.

Every method searches the same worlds (`worlds.py`), four trials at a time, at the same cost: a step of training. After
4 to 40 budgets of a whole trial it is asked which config it recommends. Its regret is how far the true mean of that
config, over seeds, is below the best there is, in points. Methods are compared world by world.

Ours and Optuna's samplers run in the product's engine (arm, bridge, pruner) in memory; stock is Ray Tune as its
documentation sets it up, `OptunaSearch` and `ASHAScheduler` with their defaults, driven as Tune's controller drives
them, and recommends what `ResultGrid.get_best_result` does. Nothing is enqueued for anybody.

Worlds of even numbers are for development; those of odd ones are kept apart (`--held-out`).

Run: `python benchmarks/search.py --held-out`; writes benchmarks/search.json.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import worlds
from optuna.trial import FrozenTrial, TrialState
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch
from worlds import BUDGET, EVERY, World

from explorer.search import belief, engines
from explorer.search.arms import Arm
from explorer.search.bridge import Bridge
from explorer.search.plan import Plan
from explorer.search.simulator import Event, simulate
from explorer.study import StudySpec

OUT = Path(__file__).with_suffix(".json")
MARKS = (4, 6, 8, 12, 20, 32, 40)
WORKERS = 4
SEEDS = 1000  # as good as a fresh one for each trial


@dataclass(frozen=True)
class Config:
    """Of a trial in a world; what an arm reads of a TrialConfig."""

    params: dict[str, Any]
    seed: int
    steps: int = BUDGET
    student: str = "student"
    method: str = "method"

    def reads(self, _: str) -> bool:
        return False

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return {"params": self.params, "seed": self.seed}


@dataclass(frozen=True)
class Space:
    """What an arm asks of a SearchSpace, over a world's dimensions."""

    world: World

    @property
    def is_finite(self) -> bool:
        return all(isinstance(one.kind, optuna.distributions.CategoricalDistribution) for one in self.dimensions())

    def dimensions(self) -> Sequence[worlds.Dimension]:
        return list(self.world.space.values())

    def suggest(self, trial: Any, _: Mapping[str, Any]) -> dict[str, Any]:
        return self.world.suggest(trial)

    def config(self, params: dict[str, Any], base: Mapping[str, Any]) -> Config:
        return Config(params, base.get("seed", 0))


Recommend = Callable[[Sequence[FrozenTrial]], dict[str, Any]]


def luckiest(trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    """The whole trial with the highest score; before there is one, the highest of all."""
    whole = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    some = whole or [trial for trial in trials if trial.intermediate_values]
    return dict(max(some, key=lambda trial: trial.intermediate_values[trial.last_step]).params)


def likeliest(trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    """The config with the highest posterior mean."""
    found = belief.believed(trials)
    return luckiest(trials) if found is None else dict(found.ranked()[0].params)


@dataclass
class Ours:
    """The product's engine. `spec`: fields of StudySpec."""

    spec: dict[str, Any]
    recommend: dict[str, Recommend] = field(default_factory=lambda: {"luckiest": luckiest, "likeliest": likeliest})

    def start(self, world: World) -> tuple[Any, Callable[[], dict[str, dict[str, Any]]]]:
        spec = StudySpec.parse(
            {
                "space": {"lr": {"low": 1e-4, "high": 1e-1, "log": True}},  # the world's is in the plan
                "base": {"steps": BUDGET, "eval_every": EVERY},
                "seeds": list(range(SEEDS)),
                "num_trials": SEEDS,
                "probes": 0,  # they serve the importances, not the search
                "sampler_seed": world.number,
                **self.spec,
            }
        )
        study = optuna.create_study(
            study_name=f"{world.family} {world.number}",  # Hyperband deals brackets by the study's name
            direction="maximize",
            pruner=engines.pruner(spec, budget=BUDGET),
        )
        plan = Plan("search", Space(world), {}, SEEDS, [])  # type: ignore[arg-type]

        def recommended() -> dict[str, dict[str, Any]]:
            return {name: rule(study.get_trials(deepcopy=False)) for name, rule in self.recommend.items()}

        return Bridge([Arm(plan, study, spec)], grace=spec.grace(BUDGET)), recommended


class Stock:
    """A Tune searcher and a Tune scheduler, called as Tune's controller calls them."""

    def start(self, world: World) -> tuple[Any, Callable[[], dict[str, dict[str, Any]]]]:
        self._searcher = OptunaSearch(
            lambda trial: world.suggest(trial) and None, metric="miou", mode="max", seed=world.number
        )
        self._scheduler = AsyncHyperBandScheduler(metric="miou", mode="max", max_t=worlds.REPORTS)
        self._trials: dict[str, Any] = {}
        return self, self._recommend

    def suggest(self, trial_id: str) -> dict[str, Any]:
        params = self._searcher.suggest(trial_id)
        trial = SimpleNamespace(trial_id=trial_id, status="RUNNING", results=0, params=params, last=-1.0)
        self._trials[trial_id] = trial
        self._scheduler.on_trial_add(None, trial)
        return {"config": {"params": params, "seed": len(self._trials) - 1}}

    def report(self, trial_id: str, result: dict[str, Any]) -> str:
        trial = self._trials[trial_id]
        trial.results, trial.last = trial.results + 1, result["miou"]
        result = {**result, "training_iteration": trial.results}
        decision = self._scheduler.on_trial_result(None, trial, result)
        if decision == TrialScheduler.CONTINUE:
            self._searcher.on_trial_result(trial_id, result)
        return str(decision)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._searcher.on_trial_complete(trial_id, result=result, error=error)

    def _recommend(self) -> dict[str, dict[str, Any]]:
        return {"luckiest": max(self._trials.values(), key=lambda trial: trial.last).params}


class Smac:
    """SMAC 2.4 as its documentation sets it up for hyperparameters: random forest, log EI, configs raced over seeds."""

    def start(self, world: World) -> tuple[Any, Callable[[], dict[str, dict[str, Any]]]]:
        import smac
        from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float

        space = ConfigurationSpace(seed=world.number)
        made: dict[str, Any] = {}
        for name, dimension in world.space.items():
            kind = dimension.kind
            if isinstance(kind, optuna.distributions.CategoricalDistribution):
                made[name] = Categorical(name, kind.choices)
            else:
                assert isinstance(kind, optuna.distributions.FloatDistribution)
                made[name] = Float(name, (kind.low, kind.high), log=kind.log)
        space.add(list(made.values()))
        space.add(
            [
                EqualsCondition(made[name], made[one.when[0]], one.when[1])
                for name, one in world.space.items()
                if one.when
            ]
        )
        self._folder = tempfile.TemporaryDirectory()
        scenario = smac.Scenario(
            space, deterministic=False, n_trials=MARKS[-1], seed=world.number, output_directory=Path(self._folder.name)
        )
        self._smac = smac.HyperparameterOptimizationFacade(scenario, _never, overwrite=True, logging_level=False)
        self._asked: dict[str, Any] = {}
        return self, self._recommend

    def suggest(self, trial_id: str) -> dict[str, Any]:
        info = self._asked[trial_id] = self._smac.ask()
        params = {name: getattr(value, "item", lambda value=value: value)() for name, value in info.config.items()}
        return {"config": {"params": params, "seed": info.seed}}

    def report(self, *_: Any) -> str:
        return str(TrialScheduler.CONTINUE)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any]) -> None:
        from smac.runhistory import TrialValue

        self._smac.tell(self._asked.pop(trial_id), TrialValue(cost=1 - result["miou"]))

    def _recommend(self) -> dict[str, dict[str, Any]]:
        found = self._smac.intensifier.get_incumbent()
        return {"incumbent": dict(found) if found is not None else {}}


def _never(config: Any, seed: int = 0) -> float:
    raise AssertionError(f"{config} on seed {seed} was to be asked and told, not run")


METHODS: dict[str, Callable[[], Any]] = {
    "random": lambda: Ours({"sampler": "random", "pruner": "none"}),
    "OptunaSearch + ASHA (stock)": Stock,
    "TPE": lambda: Ours({"sampler": "tpe", "pruner": "none"}),
    "TPE + Hyperband": lambda: Ours({"sampler": "tpe", "pruner": "hyperband"}),
    "belief + evidence": lambda: Ours({"sampler": "belief", "pruner": "evidence"}),
    "belief + evidence + pauses": lambda: Ours(
        {"sampler": "belief", "pruner": "evidence", "pruner_options": {"pauses": 16}}
    ),
    "Optuna's GP": lambda: Ours({"sampler": "gp", "pruner": "none"}),
    "SMAC": Smac,
}

NAMED = ("belief + evidence + pauses", "Optuna's GP", "SMAC")
"""Run where they are named: the pauses change little, the others take longer than all, and SMAC must be installed."""


def regrets(method: str, world: World) -> dict[str, list[float]]:
    """Rule of recommendation -> regret at each of MARKS, in points."""
    search, recommend = METHODS[method]().start(world)
    found: dict[str, list[float]] = {}

    def enough(event: Event) -> bool:
        known = len(next(iter(found.values()), []))
        while known < len(MARKS) and event.spent >= MARKS[known] * BUDGET:
            for rule, params in recommend().items():
                found.setdefault(rule, []).append(100 * (world.best - world.of(params)))
            known += 1
        return known == len(MARKS)

    simulate(search, lambda config: world.run(config["params"], config["seed"]), workers=WORKERS, until=enough)
    return found


def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray.tune.search.optuna.optuna_search").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


def summary(own: Mapping[str, list[list[float]]]) -> dict[str, Any]:
    """By method and rule: mean regret, its standard error, and how much less it is than the first one's, with its own.

    Args:
        own: name -> worlds, marks.
    """
    found = {name: np.array(values) for name, values in own.items()}
    against = next(iter(found))

    def error(values: np.ndarray) -> list[float]:
        return np.round(values.std(axis=0, ddof=1) / np.sqrt(len(values)), 3).tolist()

    return {
        name: {
            "regret": np.round(values.mean(axis=0), 3).tolist(),
            "error": error(values),
            "less": np.round((found[against] - values).mean(axis=0), 3).tolist(),
            "less_error": error(found[against] - values),
        }
        for name, values in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=10, help="of a family")
    parser.add_argument("--held-out", action="store_true", help="worlds that nothing was developed on")
    parser.add_argument("--families", nargs="*", default=list(worlds.FAMILIES))
    parser.add_argument("--methods", nargs="*", default=[name for name in METHODS if name not in NAMED])
    parser.add_argument("--out")
    options = parser.parse_args()
    quiet()
    out = Path(options.out) if options.out else OUT if options.held_out else None
    families = [one for one in options.families if one != "public tables" or worlds.public_installed()]
    found: dict[str, dict[str, list[list[float]]]] = {family: {} for family in families}
    for done, number in enumerate(range(int(options.held_out), 2 * options.worlds, 2), start=1):
        for family in families:  # all before the next world, so that a run may be stopped at any time
            world = worlds.FAMILIES[family](number)
            for method in options.methods:
                for rule, values in regrets(method, world).items():
                    found[family].setdefault(f"{method}, {rule}", []).append(values)
        if done > 1:
            figures = {
                "held_out": options.held_out, "worlds": done, "marks": MARKS, "workers": WORKERS,
                "reports": worlds.REPORTS, "families": {family: summary(own) for family, own in found.items()},
            }  # fmt: skip
            if out:
                out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
            print(f"{done} of {options.worlds} worlds a family", flush=True)
    for family, own in found.items():
        for name, row in summary(own).items():
            cells = (f"{mean:5.2f}±{error:.2f}" for mean, error in zip(row["regret"], row["error"], strict=True))
            print(f"{family:22} {name:36} {' '.join(cells)}")


if __name__ == "__main__":
    main()
