"""Equal compute: how many steps a trial of each kind gets for what the student alone costs in `steps` steps.

The student alone is the reference, because gains are measured against it: it trains for `steps`, as without a budget,
and a trial whose step costs twice as much trains for half of them. Reports are at equal shares of a trial's own steps,
and the storage keys them by the reference's steps, so a pruner compares trials that have cost the same, and rungs,
grace and figures are on one axis. The learning rate decays over a trial's own steps.

The costs are measured once, before the first trial, and kept in the study: a resumed sweep uses the same numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial

from explorer.study import StudySpec
from search_spaces import dimension
from trainables.conditions import OWN_PREFIX
from trainables.config import TrialConfig
from trainables.errors import StudyError

STEP_COSTS = "step_costs"
"""Attribute of a study: {unit, names, costs: {kind: of a step}, alone: {student: of a step}}."""
STEPS, COST, RELATIVE = "steps", "cost_per_step", "relative_cost"
"""Attributes of a trial: its own steps, what one costs, and that as a multiple of a step of its student alone."""
MOST_KINDS, _MOST_TRIES = 200, 10_000
_NETWORKS = ("method", "teacher", "student")
_FREE = ("warmup_steps",)  # whole numbers that no step's cost depends on
_SHARES = ("unlabelled_ratio",)  # numbers with a point that decide what is computed


@dataclass(frozen=True)
class Compute:
    """Attributes:
    unit: seconds or gmac.
    names: fields that decide about a step's cost, beside method, teacher and student.
    costs: of a step, by kind.
    alone: of a step of the student alone, by student.
    """

    unit: str
    names: tuple[str, ...]
    costs: Mapping[str, float]
    alone: Mapping[str, float]

    @classmethod
    def of(cls, study: optuna.Study) -> Compute | None:
        """What a study was told; None: its trials have equal steps."""
        told = study.user_attrs.get(STEP_COSTS)
        return None if told is None else cls(told["unit"], tuple(told["names"]), told["costs"], told["alone"])

    @property
    def record(self) -> dict[str, Any]:
        """As a study keeps it."""
        return {"unit": self.unit, "names": [*self.names], "costs": {**self.costs}, "alone": {**self.alone}}

    def cost(self, config: TrialConfig) -> float:
        """Of one step."""
        return self.costs[kind(config, self.names)]

    def relative(self, config: TrialConfig) -> float:
        """Cost of a step as a multiple of one of the student alone."""
        return self.cost(config) / self.alone[config.student]

    def fitted(self, config: TrialConfig) -> TrialConfig:
        """The config with the steps, and the steps between reports, that it can afford; reports stay as many, so
        steps are rounded to a multiple of their number, at least one step a report.
        """
        reports = config.steps // config.report_every
        every = max(1, round(config.report_every / self.relative(config)))
        steps = every * reports
        if steps == config.steps:
            return config
        warmup = min(round(config.warmup_steps * steps / config.steps), steps - 1)
        return config.model_copy(update={"steps": steps, "eval_every": every, "warmup_steps": warmup})

    def attributes(self, config: TrialConfig) -> dict[str, Any]:
        """What is kept of a trial; `config` is the fitted one."""
        return {STEPS: config.steps, COST: self.cost(config), RELATIVE: self.relative(config)}

    def lines(self, samples: Iterable[TrialConfig]) -> Iterator[str]:
        """A line each for the kinds of these configs: what a step costs, and what that buys."""
        words = "s" if self.unit == "seconds" else "GMAC"
        for config in samples:
            steps, relative = self.fitted(config).steps, self.relative(config)
            spent = steps * relative / config.steps
            off = f", {100 * spent:.0f} % of the compute, since steps are whole" if abs(spent - 1) > 0.05 else ""
            yield (
                f"{kind(config, self.names)}: {self.cost(config):.3g} {words} a step, {relative:.2f} times the student "
                f"alone's: {steps} steps{off}"
            )


def own_step(attributes: Mapping[str, Any], step: int) -> int:
    """A trial's own step behind one that the storage has."""
    budget, steps = attributes.get("budget", 1), attributes.get(STEPS)
    return step if steps is None else step * steps // budget


def shared_step(attributes: Mapping[str, Any], step: int) -> int:
    """The step that the storage has for a trial's own: that of its student alone at equal cost."""
    steps = attributes.get(STEPS)
    return step if steps is None else step * attributes["budget"] // steps


def kind(config: TrialConfig, names: Iterable[str]) -> str:
    """What trials that cost the same a step have in common, such as "method kd, teacher A, student B"."""
    read = (name for name in (*_NETWORKS, *names) if config.reads("own" if name.startswith(OWN_PREFIX) else name))
    return ", ".join(f"{name} {_value(config, name)}" for name in read)


def costly(dimensions: Mapping[str, BaseDistribution]) -> dict[str, BaseDistribution]:
    """The dimensions that a step's cost may depend on: choices that are no numbers, whole numbers, and the share of
    unlabelled images. A weight, a rate or a temperature changes what is computed with, not how much.
    """
    return {name: known for name, known in dimensions.items() if name not in _FREE and _is_costly(name, known)}


def check(spec: StudySpec) -> None:
    """Refuse a budget that cannot be shared out.

    Raises:
        StudyError: reports are not at equal shares of the steps, or there are too many kinds of steps to measure.
    """
    if spec.budget == "steps":
        return
    config = spec.search_space.config({}, spec.trial_base)
    if config.steps % config.report_every:
        whole = -(-config.steps // config.report_every) * config.report_every
        raise StudyError(
            f"budget is {spec.budget}, so trials report at equal shares of their steps, but steps is {config.steps} "
            f"and eval_every {config.report_every}. Take {whole} steps."
        )
    for name, known in costly(spec.search_space.dimensions).items():
        if name in _SHARES and not isinstance(known, CategoricalDistribution):
            raise StudyError(
                f"budget is {spec.budget}, so each kind of step is measured, but {name} is a range. List its values."
            )


def samples(spaces: Iterable[tuple[Any, Mapping[str, Any]]], names: Iterable[str]) -> dict[str, TrialConfig]:
    """A config of each kind of step, by kind.

    Args:
        spaces: search spaces with their bases.
        names: as `Compute` has them.

    Raises:
        StudyError: there are more than MOST_KINDS.
    """
    names, found = tuple(names), dict[str, TrialConfig]()
    for space, base in spaces:
        for tried, params in enumerate(_choices(costly(space.dimensions))):
            config = space.config(params, base)
            found.setdefault(kind(config, names), config)
            if len(found) > MOST_KINDS or tried > _MOST_TRIES:
                raise StudyError(
                    f"There are more than {MOST_KINDS} kinds of steps to measure ({', '.join(names)}). Fix some of "
                    "these, list fewer choices, or set budget to steps."
                )
    return found


def trained(trial: FrozenTrial) -> int:
    """Steps that a trial has trained for."""
    return own_step(trial.user_attrs, max(trial.intermediate_values, default=0))


def _choices(dimensions: Mapping[str, BaseDistribution]) -> Iterator[dict[str, Any]]:
    values = (dimension.values(known) for known in dimensions.values())
    return (dict(zip(dimensions, chosen, strict=True)) for chosen in itertools.product(*values))


def _is_costly(name: str, known: BaseDistribution) -> bool:
    if name in _SHARES or isinstance(known, IntDistribution):
        return True
    return isinstance(known, CategoricalDistribution) and not all(type(choice) is float for choice in known.choices)


def _value(config: TrialConfig, name: str) -> Any:
    if name.startswith(OWN_PREFIX):
        return config.own.get(name.removeprefix(OWN_PREFIX))
    return getattr(config, name)
