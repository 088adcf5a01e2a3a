"""Why a pruner stopped a trial, in words and numbers: where, what it had, and what that was compared with.

Everything is read again from what the pruner itself was shown. A sentence names the trial's rank only among values that
the pruner compared; it says "of this student" because a pruner sees no others (`views.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
    WilcoxonPruner,
)
from optuna.trial import FrozenTrial, TrialState
from scipy import stats

from explorer.search.asha import AshaPruner
from explorer.search.compute import trained
from explorer.search.evidence import EvidencePruner

_RUNG = "completed_rung_"  # attributes in which successive halving keeps what a trial had at each rung


def why(pruner: BasePruner, study: optuna.Study, trial: FrozenTrial, notes: Mapping[str, Any]) -> str:
    """The sentence for a trial that this pruner has just stopped.

    Args:
        pruner: it, as it was asked.
        study: as the pruner saw it: the trial's peers, mIoU alone.
        trial: with at least one value.
        notes: what the pruner noted about the trial in the same decision.
    """
    step, own = trial.last_step, trained(trial)
    equal = "" if own == step else f" of its student alone (its own {own}, at equal compute)"
    return f"Stopped by {_name(pruner)} at step {step}{equal}: {_clause(pruner, study, trial, notes)}."


def _clause(pruner: Any, study: optuna.Study, trial: FrozenTrial, notes: Mapping[str, Any]) -> str:
    if isinstance(pruner, HyperbandPruner):
        bracket = pruner._get_bracket_id(study, trial)
        own = pruner._create_bracket_study(study, bracket)
        return _halved(pruner._pruners[bracket], own.get_trials(deepcopy=False), trial, notes, f" of bracket {bracket}")
    if isinstance(pruner, SuccessiveHalvingPruner):
        return _halved(pruner, study.get_trials(deepcopy=False), trial, notes, "")
    if isinstance(pruner, AshaPruner):
        return _cut(pruner, study, trial)
    if isinstance(pruner, PercentilePruner):  # MedianPruner is one
        return _below_others(pruner, study, trial)
    if isinstance(pruner, ThresholdPruner):
        return _out_of_bounds(pruner, last(trial))
    if isinstance(pruner, PatientPruner):
        return _idle(pruner, study, trial, notes)
    if isinstance(pruner, WilcoxonPruner):
        return _worse_than_best(pruner, study, trial)
    if isinstance(pruner, EvidencePruner):
        if (judged := pruner.judged(study, trial)) is None:
            return _cut(pruner.early, study, trial)
        chance, best = judged
        return (
            f"with its {percent(last(trial))} it has a chance of {percent(chance)} to end above {percent(best)}, "
            "the highest mean that a config is believed to have"
        )
    return f"it had {percent(last(trial))}"


def _halved(pruner: Any, peers: Iterable[FrozenTrial], trial: FrozenTrial, notes: Mapping[str, Any], where: str) -> str:
    """Of successive halving: a trial goes on from a rung where it is among the best 1 / factor of all there."""
    rung = max(int(name.removeprefix(_RUNG)) for name in notes if name.startswith(_RUNG))
    key, value, factor = f"{_RUNG}{rung}", last(trial), pruner._reduction_factor
    others = [peer.system_attrs[key] for peer in peers if key in peer.system_attrs and peer.number != trial.number]
    values = sorted([*others, value], reverse=True)
    if len(values) <= pruner._bootstrap_count:
        return f"it had {percent(value)}, and the first {pruner._bootstrap_count} trials at a rung all end there"
    go_on = max(1, len(values) // factor)
    better = sum(other > value for other in others)
    return (
        f"its {percent(value)} at rung {rung}{where} is below the {percent(values[go_on - 1])} of the best {go_on} "
        f"of {len(values)} trials of this student there; {better} had more"
    )


def _cut(pruner: AshaPruner, study: optuna.Study, trial: FrozenTrial) -> str:
    milestone, others, cutoff = pruner.rung(study, trial)
    value = last(trial)
    return (
        f"its {percent(value)} at the rung of {milestone:g} steps is below {percent(cutoff)}, which parts the best "
        f"1/{pruner.reduction_factor:g} from the rest of {len(others)} trials of this student that got there before; "
        f"{sum(other > value for other in others)} had more"
    )


def _below_others(pruner: Any, study: optuna.Study, trial: FrozenTrial) -> str:
    step, best = trial.last_step, max(trial.intermediate_values.values())
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    others = [peer.intermediate_values[step] for peer in done if step in peer.intermediate_values]
    cutoff = float(np.nanpercentile(others, 100 - pruner._percentile))
    what = "the median" if pruner._percentile == 50 else f"what the best {pruner._percentile:.3g} % had at least,"
    return (
        f"its best until then, {percent(best)}, is below {percent(cutoff)}, {what} of {len(others)} complete trials "
        f"of this student at that step; {sum(other > best for other in others)} had more"
    )


def _out_of_bounds(pruner: Any, value: float) -> str:
    low = value < pruner._lower
    bound = pruner._lower if low else pruner._upper
    return f"its {percent(value)} is {'below the lower' if low else 'above the upper'} threshold of {percent(bound)}"


def _idle(pruner: Any, study: optuna.Study, trial: FrozenTrial, notes: Mapping[str, Any]) -> str:
    values = [value for _, value in sorted(trial.intermediate_values.items())]
    recent = pruner._patience + 1
    margin = f" by more than {100 * pruner._min_delta:g} points" if pruner._min_delta else ""
    reports = "report" if recent == 1 else f"{recent} reports"
    told = (
        f"the best of its last {reports}, {percent(max(values[-recent:]))}, is below the "
        f"{percent(max(values[:-recent]))} it had before{margin}"
    )
    wrapped = pruner._wrapped_pruner
    return told if wrapped is None else f"{told}; and by {_name(wrapped)}, {_clause(wrapped, study, trial, notes)}"


def _worse_than_best(pruner: Any, study: optuna.Study, trial: FrozenTrial) -> str:
    best = study.best_trial
    steps = sorted(trial.intermediate_values.keys() & best.intermediate_values.keys())
    lead = [trial.intermediate_values[step] - best.intermediate_values[step] for step in steps]
    p = float(stats.wilcoxon(lead, alternative="less", zero_method="zsplit").pvalue)
    return (
        f"its {percent(last(trial))}, and its values at {len(steps)} steps, are below those of trial {best.number}, "
        f"the best of this student, with p = {p:.2g}, under the threshold of {pruner._p_threshold:g}"
    )


def _name(pruner: BasePruner) -> str:
    return type(pruner).__name__.removesuffix("Pruner").lower()


def last(trial: FrozenTrial) -> float:
    """What a trial has reported last, in [0, 1]."""
    assert trial.last_step is not None
    return trial.intermediate_values[trial.last_step]


def percent(miou: float) -> str:
    """As sentences have it."""
    return f"{100 * miou:.2f} %"
