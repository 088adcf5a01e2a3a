"""Optuna's samplers and pruners by name."""

from __future__ import annotations

import inspect
import math
import warnings
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, GridSampler, QMCSampler, RandomSampler
from optuna.trial import TrialState

from explorer.search.asha import AshaPruner
from explorer.search.evidence import EvidencePruner
from explorer.search.proposals import BeliefSampler
from explorer.search.views import FrontSampler, PeerPruner
from explorer.study import StudySpec
from trainables.errors import StudyError, unknown

_NOT_OFFERED = ("Base", "PartialFixed", "BruteForce")  # abstract, partial, and one that only `optimize` can end
_ONE_OBJECTIVE = ("cmaes", "belief")
_KEEP_SEED = ("grid", "qmc")  # one sequence for the whole study, so its seed must stay
_UNPICKLES = ("cmaes",)
_ENOUGH = 12  # trials after which every sampler is past its random start


def _table(module: Any, base: type, suffix: str) -> dict[str, Any]:
    """What a module exports under this base: {"tpe": TPESampler, ...}."""
    found = {name: getattr(module, name) for name in module.__all__ if name.endswith(suffix)}
    return {
        name.removesuffix(suffix).lower(): value
        for name, value in found.items()
        if isinstance(value, type) and issubclass(value, base) and not name.startswith(_NOT_OFFERED)
    }


SAMPLERS = _table(optuna.samplers, BaseSampler, "Sampler") | {"belief": BeliefSampler}
PRUNERS = _table(optuna.pruners, BasePruner, "Pruner") | {
    "none": optuna.pruners.NopPruner,
    "asha": AshaPruner,
    "evidence": EvidencePruner,
}


def check(spec: StudySpec, *, budget: int) -> None:
    """Build sampler and pruner once.

    Raises:
        StudyError: unknown name or option, a grid with more trials than points, or a sampler that cannot do it.
    """
    sampler(spec, number=0)
    pruner(spec, budget=budget)
    if spec.sampler_options or spec.pruner_options:
        _try_out(spec, budget)
    if spec.sampler in _ONE_OBJECTIVE and len(spec.objectives) > 1:
        raise StudyError(f"The sampler {spec.sampler!r} takes one objective, got {spec.objectives}. Use tpe or nsgaii.")
    if spec.sampler == "grid":
        points = math.prod(len(_grid(spec, name)) for name in spec.space)
        if spec.num_trials > points:
            raise StudyError(f"num_trials is {spec.num_trials}, but the grid has {points} points. Lower num_trials.")
        if spec.enqueue or spec.warm_start or spec.num_probes:
            raise StudyError(
                "The grid sampler tries every point itself, so it takes no `enqueue`, `warm_start` or `probes`. "
                "Remove them."
            )


def _try_out(spec: StudySpec, budget: int) -> None:
    """Options that are accepted and fail later: propose and prune once, behind enough made-up trials."""
    study = optuna.create_study(directions=["maximize"] * len(spec.objectives))
    space, base = spec.search_space, spec.trial_base
    for number in range(_ENOUGH):
        study.sampler = uniform(spec, number=number)
        trial = study.ask()
        space.suggest(trial, base)
        study._storage.set_trial_intermediate_value(trial._trial_id, budget, number / _ENOUGH)
        study._storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [0.5 for _ in spec.objectives])
    kind = "sampler", spec.sampler
    try:
        study.sampler = sampler(spec, number=_ENOUGH)
        trial = study.ask()
        space.suggest(trial, base)
        kind = "pruner", spec.pruner
        study._storage.set_trial_intermediate_value(trial._trial_id, budget, 0.5)
        pruner(spec, budget=budget).prune(study, study._storage.get_trial(trial._trial_id))
    except Exception as error:
        raise StudyError(f"The {kind[0]} {kind[1]!r} fails with its options: {error}") from None


def refuse_untrusted(spec: StudySpec, *, trusted: bool) -> None:
    """CMA-ES keeps a pickle in the storage and reads it back at each suggestion.

    Raises:
        StudyError: it would be read from a storage that somebody else may have written, and nobody vouched for it.
    """
    if spec.sampler in _UNPICKLES and not trusted:
        raise StudyError(
            f"The sampler {spec.sampler!r} unpickles from the storage, which runs code that whoever wrote the storage "
            "chose. If the storage is yours alone, say --trust-storage; else use another sampler."
        )


def sampler(spec: StudySpec, *, number: int, stream: int = 0) -> BaseSampler:
    """The sampler that proposes one trial.

    Seeded by the trial's number, so that a proposal is a function of (spec, number, the storage's trials): a resumed
    sweep proposes what the uninterrupted one would have, and two streams never the same.

    Raises:
        StudyError: unknown name or option.
    """
    known = _lookup("sampler", spec.sampler, SAMPLERS)
    own = _seed(spec, number, stream)
    seed = spec.sampler_seed if spec.sampler in _KEEP_SEED else own
    options = {"seed": seed, **_sampler_defaults(spec, own, stream), **spec.sampler_options}
    made = _make("sampler", spec.sampler, known, options)
    if isinstance(made, QMCSampler):  # it counts in the study's attributes, where a killed driver leaves gaps
        made._find_sample_id = lambda *_: number  # type: ignore[method-assign]
    if isinstance(made, GridSampler):  # without a point left it asks Optuna's loop to stop; the quota does that here
        made.after_trial = lambda *_: None  # type: ignore[method-assign]
    return FrontSampler(made) if len(spec.objectives) > 1 and spec.sampler not in _KEEP_SEED else made


def uniform(spec: StudySpec, *, number: int, stream: int = 0) -> BaseSampler:
    """What proposes a probe: random, seeded like `sampler`."""
    return RandomSampler(seed=_seed(spec, number, stream))


def pruner(spec: StudySpec, *, budget: int) -> BasePruner:
    """The spec's pruner, which compares a trial with those of the same student alone.

    Args:
        budget: steps of a full trial; Hyperband must know it to prune before the first one completes.

    Raises:
        StudyError: unknown name or option.
    """
    known = _lookup("pruner", spec.pruner, PRUNERS)
    options = {**_pruner_defaults(spec.pruner, spec, budget), **spec.pruner_options}
    if "wrapped_pruner" in inspect.signature(known).parameters:  # PatientPruner: name what it wraps
        name = str(options.pop("wrapped_pruner", "median"))
        inner = _lookup("pruner", name, PRUNERS)
        options["wrapped_pruner"] = _make("pruner", name, inner, _pruner_defaults(name, spec, budget))
    return PeerPruner(_make("pruner", spec.pruner, known, options))


def _seed(spec: StudySpec, number: int, stream: int) -> int:
    return int(np.random.SeedSequence([spec.sampler_seed, stream, number]).generate_state(1)[0])


def _sampler_defaults(spec: StudySpec, seed: int, stream: int) -> dict[str, Any]:
    if spec.sampler == "belief":
        return {"sobol_seed": _seed(spec, 0, stream)}
    if spec.sampler == "qmc":
        return {"independent_sampler": RandomSampler(seed=seed)}  # of dimensions that not every trial has
    if spec.sampler == "tpe":
        return {"multivariate": True, "group": True}  # group: conditional dimensions are modelled where they occur
    if spec.sampler == "grid":
        return {"search_space": {name: _grid(spec, name) for name in spec.space}}
    return {}


def _grid(spec: StudySpec, name: str) -> list[Any]:
    choices = spec.space[name]
    if not isinstance(choices, list):
        raise StudyError(f"The grid sampler needs a list of choices for every dimension, got {name}: {choices}.")
    return choices


def _pruner_defaults(name: str, spec: StudySpec, budget: int) -> dict[str, Any]:
    grace = spec.grace(budget)
    rungs: dict[str, Any] = {"min_resource": grace, "reduction_factor": spec.reduction_factor}
    known: dict[str, dict[str, Any]] = {
        "hyperband": {**rungs, "max_resource": budget},
        "successivehalving": rungs,
        "asha": {**rungs, "max_resource": budget},
        "median": {"n_warmup_steps": grace},
        "percentile": {"percentile": 100 / spec.reduction_factor, "n_warmup_steps": grace},
        "threshold": {"n_warmup_steps": grace},
        "evidence": {**rungs, "max_resource": budget},
        "patient": {"patience": 1},
    }
    return known.get(name, {})


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
