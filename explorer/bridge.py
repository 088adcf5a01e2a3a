"""The bridge: one object proposes trials to Ray Tune and prunes them, over Optuna studies that hold the truth.

Tune sees two faces, `Bridge` (a Searcher) and `PruningFace` (a TrialScheduler). Both act on the same Optuna trials:

    suggest            study.ask, with the Tune trial id as an attribute at once
    a result arrives   trial.report(value, step), then should_prune; the scheduler is the only hook that Tune shows
                       every result, the last and the stopping one included
    a trial's end      told once: PRUNED, COMPLETE, or FAIL with its reason; a trial that was only interrupted stays
                       RUNNING in the storage and is adopted by the next driver

Nothing is restored from Tune's pickles: a resumed sweep is a new Tune run whose bridge first hands out the storage's
RUNNING trials, which go on from their own checkpoints. Reports are idempotent by step, so a trial may repeat itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from explorer.arms import Arm, trial_directory
from trainables import checkpoint

METRIC, MODE = "miou", "max"


@dataclass
class Live:
    """A trial between its suggestion and its end."""

    arm: Arm
    trial: optuna.Trial
    budget: int
    grace: int
    steps: set[int]
    told: TrialState | None = None
    error: str = "the worker died"


class Bridge(Searcher):
    """The searcher's face, and the state of both."""

    def __init__(self, arms: Iterable[Arm], *, grace: int, directory: Path) -> None:
        """Args:
        arms: in the order in which they are served.
        grace: steps before a trial may be pruned.
        directory: the study's folder.
        """
        super().__init__(metric=METRIC, mode=MODE)
        self._directory = directory
        self._arms = tuple(arms)
        self._grace = grace
        self._orphans = [(arm, trial) for arm in self._arms for trial in arm.orphans()]
        self.live: dict[str, Live] = {}

    def num_open(self) -> int:
        """Trials still to be run: the adopted ones and those not yet asked for."""
        return sum(arm.num_open() for arm in self._arms)

    def suggest(self, trial_id: str) -> dict[str, Any] | str:  # type: ignore[override]
        """The next trial's config for the trainable: an orphan's first, then an arm's; FINISHED when all have ended."""
        if self._orphans:
            arm, trial = self._orphans.pop(0)
        elif arms := [arm for arm in self._arms if arm.remaining()]:
            arm = arms[0]
            trial, _ = arm.ask()
        else:
            return Searcher.FINISHED
        trial.set_user_attr("ray_trial_id", trial_id)
        attributes = trial.user_attrs
        steps = set(arm.study.get_trials(deepcopy=False)[trial.number].intermediate_values)
        self.live[trial_id] = Live(arm, trial, attributes["budget"], min(self._grace, attributes["budget"]), steps)
        return {"config": attributes["config"], "directory": trial_directory(arm.role, trial.number)}

    def report(self, trial_id: str, result: dict[str, Any]) -> str:
        """Record a result and decide; what the scheduler's face calls."""
        live = self.live[trial_id]
        if live.told is not None:
            return TrialScheduler.STOP
        if reason := result.get("failed"):
            return self._tell(live, TrialState.FAIL, reason=reason)
        value, step = float(result[METRIC]), int(result["step"])
        if not math.isfinite(value):
            return self._tell(live, TrialState.FAIL, reason=f"mIoU is {value} at step {step}.")
        if step not in live.steps:
            live.trial.report(value, step)
            live.steps.add(step)
        if step >= live.budget:
            return self._tell(live, TrialState.COMPLETE, value=value, facts=result)
        if live.grace <= step and live.trial.should_prune():
            checkpoint.discard(self._directory / trial_directory(live.arm.role, live.trial.number))  # it never goes on
            return self._tell(live, TrialState.PRUNED, facts=result)
        return TrialScheduler.CONTINUE

    def note_error(self, trial_id: str, error: str) -> None:
        """Remember why a worker died; told when Tune gives the trial up."""
        self.live[trial_id].error = error

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tune's last word on a trial. Without an error and not yet told: interrupted, so it stays resumable."""
        live = self.live.pop(trial_id, None)
        if error and live is not None and live.told is None:
            self._tell(live, TrialState.FAIL, reason=live.error)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: the scheduler's face has seen it."""

    def _tell(
        self,
        live: Live,
        state: TrialState,
        *,
        value: float | None = None,
        reason: str | None = None,
        facts: dict[str, Any] | None = None,
    ) -> str:
        """End a trial in the storage; attributes first, because a finished trial is closed to them."""
        told: dict[str, Any] = (
            {name: facts[name] for name in ("iou", "seconds", "device") if name in facts} if facts else {}
        )
        if reason:
            told["reason"] = reason
        for name, fact in told.items():
            live.trial.set_user_attr(name, fact)
        live.arm.tell(live.trial, value, state)
        live.told = state
        return TrialScheduler.STOP

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the storage is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the storage is the truth."""

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher; there is nothing in that copy to go wrong with."""
        return {"_metric": self._metric, "_mode": self._mode}


class PruningFace(FIFOScheduler):
    """The scheduler's face: no state of its own; it finds the bridge through the controller."""

    _supports_buffered_results = False  # decisions must be immediate

    @property
    def metric(self) -> str:
        return METRIC

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return _bridge(tune_controller).report(trial.trial_id, result)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        _bridge(tune_controller).note_error(trial.trial_id, _last_line(trial))


def _bridge(tune_controller: Any) -> Bridge:
    """Unwrap what Tune wraps around a searcher (SearchGenerator, ConcurrencyLimiter)."""
    searcher = tune_controller.search_alg
    while not isinstance(searcher, Bridge):
        searcher = searcher.searcher
    return searcher


def _last_line(trial: Trial) -> str:
    """The exception's own line of the text that Tune keeps of a failure."""
    path = trial.error_file
    lines = Path(path).read_text().strip().splitlines() if path and Path(path).exists() else []
    return lines[-1] if lines else "the worker died"
