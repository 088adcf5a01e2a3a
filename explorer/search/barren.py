"""A search that has ended without a complete trial: why, and what to do, wherever one asks for its best."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from explorer.study import SPEC_FILE, StudySpec

_WORDS = {TrialState.FAIL: "failed", TrialState.PRUNED: "pruned"}


def barren(spec: StudySpec, directory: Path, trials: Sequence[FrozenTrial]) -> str | None:
    """The sentence: how many ended how, the first failure's reason, and the command that begins again.

    Args:
        directory: the study's folder.
        trials: of the search, those of an earlier study left out.

    Returns:
        None where one is complete, may yet become it, or none was begun.
    """
    states = Counter(trial.state for trial in trials)
    if not trials or TrialState.COMPLETE in states or not all(state.is_finished() for state in states):
        return None
    counts = ", ".join(f"{states[state]} {word}" for state, word in _WORDS.items() if states[state])
    again = f"heteroakd sweep {shlex.quote(str(directory / SPEC_FILE))} --out ANOTHER_FOLDER"
    if spec.storage_path or spec.storage not in (None, "journal", "sqlite"):
        again += f", with another name{' and storage_path' if spec.storage_path else ''} in a copy of that file"
    return f"No trial of the search is complete: {counts}. {_first(trials)} Mend that, then begin again: {again}"


def _first(trials: Sequence[FrozenTrial]) -> str:
    failed = (trial for trial in trials if trial.state == TrialState.FAIL)
    if (first := next(failed, None)) is None:
        return "The pruner stops every trial: raise grace_period, or choose another pruner."
    reason = " ".join(str(first.user_attrs.get("reason", "not recorded")).split())
    return f"The first reason, of trial {first.number}: {reason.rstrip('.')}."
