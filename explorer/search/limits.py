"""When a sweep asks for no more trials, before it has asked for all: steps, GPU-hours, a plateau, little to expect."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from explorer.search import further
from explorer.study import StudySpec

OCCUPIED = "occupied_s"
"""Trial attribute: seconds it has held its resources, evaluation and restarts included."""
STOPPED = "stopped"
"""Attribute of the search's study: the limit at which its last driver ended, as a sentence; None: at none."""


def reached(
    spec: StudySpec,
    *,
    search: Sequence[FrozenTrial],
    every: Sequence[FrozenTrial],
    known: Sequence[FrozenTrial],
    gpus: float = 0.0,
) -> str | None:
    """The limit that was reached, as a sentence; trials that are running then run to their end.

    Args:
        search: trials of the search, in the order of their numbers.
        every: those of the students alone too.
        known: those of the search and of its warm start.
        gpus: GPUs that a trial holds.
    """
    if spec.total_steps is not None:
        networks = spec.trial_base.get("folds") or 1  # that a trial trains
        steps = networks * sum(max(trial.intermediate_values, default=0) for trial in every)
        if steps >= spec.total_steps:
            return f"{steps} steps are done; total_steps is {spec.total_steps}."
    if spec.gpu_hours is not None:
        hours = gpus * sum(trial.user_attrs.get(OCCUPIED, 0.0) for trial in every) / 3600
        if hours >= spec.gpu_hours:
            return f"{hours:.2f} GPU-hours are spent; gpu_hours is {spec.gpu_hours}."
    if spec.plateau_trials is not None and (idle := full_trials_since_gain(search, spec.plateau_gain)) >= (
        spec.plateau_trials
    ):
        return f"{idle} full trials brought no gain of {100 * spec.plateau_gain:g} points; plateau_trials is reached."
    return _little_left(spec, search, known) if spec.stop_when else None


def _little_left(spec: StudySpec, search: Sequence[FrozenTrial], known: Sequence[FrozenTrial]) -> str | None:
    """By ten trials in a row; however much a warm start knew, so many of this sweep have ended."""
    assert spec.stop_when is not None
    ended = sum(trial.state.is_finished() for trial in search)
    if ended < further.AHEAD or not 100 * further.lately(known) < spec.stop_when:
        return None
    points = 100 * further.expected(known)
    return (
        f"after {ended} trials, another {further.AHEAD} are expected to bring {points:.2f} points, and have been below "
        f"{spec.stop_when:g} for {further.AHEAD} trials; stop_when is {spec.stop_when:g}."
    )


def full_trials_since_gain(search: Sequence[FrozenTrial], gain: float) -> int:
    """Complete trials, in the order in which they ended, since one was better than all before by more than `gain`."""
    done = sorted(
        (trial for trial in search if trial.state == TrialState.COMPLETE),
        key=lambda trial: (trial.datetime_complete, trial.number),
    )
    best, idle = float("-inf"), 0
    for trial in done:
        value = trial.values[0]
        best, idle = (value, 0) if value > best + gain else (best, idle + 1)
    return idle
