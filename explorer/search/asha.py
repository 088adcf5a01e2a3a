"""Ray Tune's ASHA as an Optuna pruner, so that what it stops is recorded as pruned and a restart forgets nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler


class AshaPruner(BasePruner):
    """The rungs of `AsyncHyperBandScheduler` (one bracket), rebuilt from the storage at each decision.

    Tune keeps them in memory and loses them with the driver; its decision depends on them alone.

    Source: Li et al., MLSys 2020 (ASHA), as implemented in ray.tune.schedulers.
    """

    def __init__(self, min_resource: int = 1, max_resource: int = 100, reduction_factor: int = 4) -> None:
        """Args, in steps: the first rung, the budget; and of n trials at a rung, n / reduction_factor go on."""
        self.reduction_factor = reduction_factor
        self._options: dict[str, Any] = {
            "grace_period": min_resource,
            "max_t": max(max_resource, min_resource + 1),
            "reduction_factor": reduction_factor,
        }
        self._scheduler()  # refuses what cannot be

    def _scheduler(self) -> Any:
        try:
            return AsyncHyperBandScheduler(time_attr="step", metric="miou", mode="max", **self._options)
        except AssertionError as error:
            raise ValueError(str(error)) from None

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None:
            return False
        bracket, this = self._bracket(study, trial, step), SimpleNamespace(trial_id=str(trial.number))
        return bool(bracket.on_result(this, step, trial.intermediate_values[step]) == TrialScheduler.STOP)

    def rung(self, study: optuna.Study, trial: FrozenTrial) -> tuple[float, list[float], float]:
        """What `prune` compares a trial's last value with: the rung's step, what others had there, and the least that
        goes on.
        """
        step, name = trial.last_step or 0, str(trial.number)
        bracket = self._bracket(study, trial, step)
        rungs = ((at, recorded) for at, recorded in bracket._rungs if at <= step and name not in recorded)
        milestone, recorded = next(rungs)
        return milestone, list(recorded.values()), float(bracket.cutoff(recorded))

    def _bracket(self, study: optuna.Study, trial: FrozenTrial, step: int) -> Any:
        """Tune's, with all that was reported but the trial's own value at this step."""
        (bracket,) = self._scheduler()._brackets
        for other in study.get_trials(deepcopy=False):
            known = {
                at: value
                for at, value in other.intermediate_values.items()
                if other.number != trial.number or at < step
            }
            for milestone, recorded in bracket._rungs:
                if passed := [at for at in known if at >= milestone]:
                    recorded[str(other.number)] = known[min(passed)]
        return bracket
