"""The pruner `evidence`: a trial is stopped when it will hardly reach what the best config is believed to have.

Until enough trials are whole to tell, ASHA's rungs decide: most configs are seen to be poor early, and to train the
first eight whole, whatever they are, would cost a short search a third of its time.
"""

from __future__ import annotations

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial

from explorer.search import belief
from explorer.search.asha import AshaPruner


class EvidencePruner(BasePruner):
    """Stops where P(final > best posterior mean) is small, by a regression of finals on the value at the same step and
    on what the belief expects of the config (Student's t).

    Attributes:
        early: what decides while too few trials are whole.
    """

    def __init__(
        self,
        probability: float = 0.1,
        num_whole: int = 8,
        min_resource: int = 1,
        max_resource: int = 100,
        reduction_factor: int = 3,
        pauses: int = 0,
    ) -> None:
        """Args:
        probability: below which a trial is stopped.
        num_whole: trials that must be whole before it is asked; until then ASHA decides.
        min_resource, max_resource: in steps, the first that may stop a trial and the budget; reduction_factor: of n
            trials at a rung of ASHA, n / reduction_factor go on.
        pauses: so many of the search's first trials, at most a third, pause instead of being stopped (`pauses.py`).
        """
        if pauses < 0:
            raise ValueError(f"pauses must be at least 0, got {pauses}.")
        if not 0 <= probability < 1 or num_whole < 1:
            raise ValueError(
                f"probability must lie in [0, 1) and num_whole be at least 1, got {probability} and {num_whole}."
            )
        self.num_whole, self.pauses = num_whole, pauses
        self._probability, self._first = probability, min_resource
        self.early = AshaPruner(min_resource, max_resource, reduction_factor)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        if trial.last_step is None or trial.last_step < self._first:
            return False
        judged = self.judged(study, trial)
        return self.early.prune(study, trial) if judged is None else judged[0] < self._probability

    def judged(self, study: optuna.Study, trial: FrozenTrial) -> tuple[float, float] | None:
        """The probability that the trial's final value is above the highest posterior mean, and that mean, in [0, 1];
        None where too few trials are whole to say.
        """
        found = belief.believed(study.get_trials(deepcopy=False))
        if found is None or len(found.whole) < self.num_whole or (outlook := found.outlook(trial)) is None:
            return None
        best = float(found.belief.mean.max())
        return outlook.above(best), best
