"""What of a study has not ended, read from its storage alone; a running driver knows the same (`Bridge.num_open`)."""

from __future__ import annotations

import optuna

from explorer.results import confirmed_runs
from explorer.search import limits, warm
from explorer.search.arms import Arm
from explorer.search.plan import Role, plans
from explorer.study import StudySpec


def num_open(spec: StudySpec, studies: dict[Role, optuna.Study]) -> tuple[int, int]:
    """Trials of the sweep that `heteroakd resume` would run, and runs of a confirmation that was asked for.

    Trials that nobody asked for do not count where a limit has ended the search.
    """
    arms = {role: Arm(plan, studies[role], spec, warm.count(studies[role])) for role, plan in plans(spec).items()}
    trials = sum(arm.num_open() for arm in arms.values())
    search, every = arms["search"].trials(), [trial for arm in arms.values() for trial in arm.trials()]
    gpus = 1.0 if spec.gpus_per_trial is None else spec.gpus_per_trial  # of a trial, where GPU-hours are limited
    if limits.reached(spec, search=search, every=every, known=arms["search"].known(), gpus=gpus):
        trials -= arms["search"].remaining()
    confirmed = confirmed_runs.open_confirmed(spec, studies["search"]._storage)
    return trials, 0 if confirmed is None else confirmed_runs.num_open(confirmed)
