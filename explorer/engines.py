"""Optuna's samplers and pruners by name."""

from __future__ import annotations

import inspect
import math
import warnings
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from explorer.peers import PeerPruner
from explorer.study import StudySpec
from trainables.errors import StudyError, unknown

_NOT_OFFERED = ("Base", "PartialFixed", "BruteForce")  # abstract, partial, and one that only `optimize` can end


def _table(module: Any, base: type, suffix: str) -> dict[str, Any]:
    """What a module exports under this base: {"tpe": TPESampler, ...}."""
    found = {name: getattr(module, name) for name in module.__all__ if name.endswith(suffix)}
    return {
        name.removesuffix(suffix).lower(): value
        for name, value in found.items()
        if isinstance(value, type) and issubclass(value, base) and not name.startswith(_NOT_OFFERED)
    }


SAMPLERS = _table(optuna.samplers, BaseSampler, "Sampler")
PRUNERS = _table(optuna.pruners, BasePruner, "Pruner")


def check(spec: StudySpec, *, budget: int) -> None:
    """Build sampler and pruner once.

    Raises:
        StudyError: unknown name or option, or a grid with more trials than points.
    """
    sampler(spec)
    pruner(spec, budget=budget)
    if spec.sampler == "grid":
        points = math.prod(len(_grid(spec, name)) for name in spec.space)
        if spec.num_trials > points:
            raise StudyError(f"num_trials is {spec.num_trials}, but the grid has {points} points. Lower num_trials.")
        if spec.enqueue:
            raise StudyError("The grid sampler tries every point itself, so it takes no `enqueue`. Remove it.")


def sampler(spec: StudySpec, *, asked: int = 0) -> BaseSampler:
    """The spec's sampler, seeded.

    Args:
        asked: trials that earlier drivers asked for; moves the seed on, so that a resumed sweep does not draw the same
            random trials again.

    Raises:
        StudyError: unknown name or option.
    """
    known = _lookup("sampler", spec.sampler, SAMPLERS)
    options = {**_default_sampler_options(spec, asked), **spec.sampler_options}
    return _make("sampler", spec.sampler, known, options)


def pruner(spec: StudySpec, *, budget: int) -> BasePruner:
    """The spec's pruner, which compares a trial with those of the same student alone.

    Args:
        budget: steps of a full trial; Hyperband must know it to prune before the first one completes.

    Raises:
        StudyError: unknown name or option.
    """
    known = _lookup("pruner", spec.pruner, PRUNERS)
    options = {**_default_pruner_options(spec, budget), **spec.pruner_options}
    if "wrapped_pruner" in inspect.signature(known).parameters:  # PatientPruner: name what it wraps
        inner = _lookup("pruner", options.pop("wrapped_pruner", "median"), PRUNERS)
        options["wrapped_pruner"] = inner()
    return PeerPruner(_make("pruner", spec.pruner, known, options))


def _default_sampler_options(spec: StudySpec, asked: int) -> dict[str, Any]:
    fixed = spec.sampler in ("grid", "qmc")  # these keep their place in the storage and must keep their seed
    options: dict[str, Any] = {"seed": spec.sampler_seed if fixed else spec.sampler_seed + asked}
    if spec.sampler == "tpe":
        options |= {"multivariate": True, "group": True}  # group: conditional dimensions are modelled where they occur
    if spec.sampler == "grid":
        options["search_space"] = {name: _grid(spec, name) for name in spec.space}
    return options


def _grid(spec: StudySpec, name: str) -> list[Any]:
    choices = spec.space[name]
    if not isinstance(choices, list):
        raise StudyError(f"The grid sampler needs a list of choices for every dimension, got {name}: {choices}.")
    return choices


def _default_pruner_options(spec: StudySpec, budget: int) -> dict[str, Any]:
    grace = spec.grace(budget)
    rungs: dict[str, Any] = {"min_resource": grace, "reduction_factor": spec.reduction_factor}
    known: dict[str, dict[str, Any]] = {
        "hyperband": {**rungs, "max_resource": budget},
        "successivehalving": rungs,
        "median": {"n_warmup_steps": grace},
        "percentile": {"percentile": 100 / spec.reduction_factor, "n_warmup_steps": grace},
        "threshold": {"n_warmup_steps": grace},
        "patient": {"patience": 1},
    }
    return known.get(spec.pruner, {})


def _lookup(kind: str, name: str, table: dict[str, Any]) -> Any:
    if name not in table:
        raise StudyError(unknown(kind, name, table))
    return table[name]


def _make(kind: str, name: str, known: Any, options: dict[str, Any]) -> Any:
    accepted = inspect.signature(known).parameters
    if extra := [option for option in options if option not in accepted]:
        raise StudyError(f"The {kind} {name!r} has no option {extra[0]!r}. Its options: {', '.join(accepted)}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            return known(**options)
        except (TypeError, ValueError) as error:
            raise StudyError(f"The {kind} {name!r} refuses its options: {error}") from None
