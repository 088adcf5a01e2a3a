"""Which configs run once more on another seed: luck is measured, not assumed."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from explorer.search import belief

REPEATS = "repeats"
"""Attribute of such a trial: the number of the trial whose config it has."""
NUM, AFTER, LEAST = 4, 12, 4
"""So many repeats, once so many trials are whole; in a sweep that is about to end, once so many are."""


def due(others: Sequence[FrozenTrial], *, left: int) -> FrozenTrial | None:
    """The first trial of the config that a new trial repeats: the one believed best of those with one run.

    Args:
        others: all other trials of the study.
        left: trials that the sweep still asks for, this one included.
    """
    wanted = NUM - sum(REPEATS in trial.user_attrs for trial in others)
    whole = sum(trial.state == TrialState.COMPLETE for trial in others)
    if wanted <= 0 or whole < (LEAST if left <= wanted else AFTER):
        return None
    found = belief.believed(others)
    assert found is not None  # trials are whole
    taken = {belief.key(trial.params) for trial in others if REPEATS in trial.user_attrs}
    once = (trial for trial in found.ranked() if belief.key(trial.params) not in taken and found.runs(trial) == 1)
    return next(once, None)


def other_seed(again: FrozenTrial, others: Sequence[FrozenTrial], seeds: Sequence[int]) -> int:
    """The first of the study's seeds that the config has not had; if it has had all, a fresh one."""
    same = belief.key(again.params)
    had = {trial.user_attrs.get("seed") for trial in others if belief.key(trial.params) == same}
    return next(
        (seed for seed in seeds if seed not in had), max((*seeds, *(one for one in had if one is not None))) + 1
    )
