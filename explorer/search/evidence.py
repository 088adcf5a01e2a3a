"""The pruner `evidence`: a trial is stopped when it will hardly reach what the best config is believed to have."""

from __future__ import annotations

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial

from explorer.search import belief


class EvidencePruner(BasePruner):
    """Stops where P(final > best posterior mean) is small, by a regression of finals on the value at the same step and
    on what the belief expects of the config (Student's t).
    """

    def __init__(self, probability: float = 0.1, num_whole: int = 8, n_warmup_steps: int = 0, pauses: int = 0) -> None:
        """Args:
        probability: below which a trial is stopped.
        num_whole: trials that must be whole before any is stopped; n_warmup_steps: steps before one is.
        pauses: so many of the search's first trials pause at thirds of their steps (`pauses.py`), at most a third of
            all.
        """
        if pauses < 0:
            raise ValueError(f"pauses must be at least 0, got {pauses}.")
        if not 0 <= probability < 1 or num_whole < 1:
            raise ValueError(
                f"probability must lie in [0, 1) and num_whole be at least 1, got {probability} and {num_whole}."
            )
        self.num_whole, self.pauses = num_whole, pauses
        self._probability, self._warmup = probability, n_warmup_steps

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        judged = self.judged(study, trial)
        return judged is not None and judged[0] < self._probability

    def judged(self, study: optuna.Study, trial: FrozenTrial) -> tuple[float, float] | None:
        """The probability that the trial's final value is above the highest posterior mean, and that mean, in [0, 1];
        None where it is too early to say.
        """
        step = trial.last_step
        if step is None or step < self._warmup:
            return None
        found = belief.believed(study.get_trials(deepcopy=False))
        if found is None or len(found.whole) < self.num_whole or (outlook := found.outlook(trial)) is None:
            return None
        best = float(found.belief.mean.max())
        return outlook.above(best), best
