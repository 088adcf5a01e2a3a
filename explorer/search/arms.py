"""An arm: one Optuna study, its plan and how many trials it gets. A sweep has two, `baseline` and `search`; `confirmed`
holds what `heteroakd confirm` runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from explorer.search import engines, prior, repeats, warm
from explorer.search.compute import Compute
from explorer.search.pauses import Pauses, Verdict, is_paused
from explorer.search.plan import ROLES, Plan, Role, plans
from explorer.search.views import dry, reborn
from explorer.storage import storages
from explorer.study import StudySpec
from search_spaces.pairs import pair_name
from search_spaces.space import SearchSpace
from trainables.config import TrialConfig
from trainables.errors import StudyError

_ATTEMPTS = 8  # to propose what was not tried: so many by the sampler, then as many at random


@dataclass(frozen=True)
class Arm:
    """Asks its study for trials until it has `num_trials` of them, in whatever state.

    Attributes:
        num_warm: trials at the head of the study that an earlier one ran (`warm.py`).
        probes: which of the others are probes.
    """

    plan: Plan
    study: optuna.Study
    spec: StudySpec
    num_warm: int = 0
    probes: frozenset[int] = frozenset()

    @property
    def role(self) -> Role:
        return self.plan.role

    @property
    def space(self) -> SearchSpace:
        return self.plan.space

    @property
    def num_trials(self) -> int:
        return self.plan.num_trials

    @property
    def budget(self) -> int:
        """Steps of a full trial."""
        return self.space.config({}, self.plan.base).steps

    def trials(self) -> list[FrozenTrial]:
        """The trials of this sweep, by number; those of a warm start are not."""
        return self.known()[self.num_warm :]

    def known(self) -> list[FrozenTrial]:
        """The trials of this sweep and of its warm start, by number."""
        return self.study.get_trials(deepcopy=False)

    @property
    def pauses(self) -> Pauses:
        """Of its first trials; of none under most pruners, which do not ask for them."""
        most, num_whole = getattr(self.study.pruner, "pauses", (0, 0))
        first = min(most, self.num_trials // 3)
        return Pauses(first if first > 1 else 0, self.num_warm, num_whole)  # one alone has nobody to wait for

    def verdicts(self, limit: str | None) -> list[Verdict]:
        """Of paused trials.

        Args:
            limit: why the arm is asked for no more trials, if it is not.
        """
        pauses, trials = self.pauses, self.trials()
        asked = sum(trial.state != TrialState.WAITING for trial in trials)
        return pauses.verdicts(trials, all_asked=asked >= pauses.first, limit=limit)

    def remaining(self) -> int:
        """Trials not asked for yet; enqueued ones wait to be asked for."""
        return max(0, self.num_trials - sum(trial.state != TrialState.WAITING for trial in self.trials()))

    def num_open(self) -> int:
        """Trials that have not ended: running in the storage, or not asked for yet."""
        return sum(trial.state == TrialState.RUNNING for trial in self.trials()) + self.remaining()

    def ask(self) -> tuple[optuna.Trial, TrialConfig]:
        """A new trial, with everything one may want to know about it later as attributes."""
        trials = self.study.get_trials(deepcopy=False)
        waiting = (trial.number for trial in trials if trial.state == TrialState.WAITING)
        self.study.sampler = self._sampler(next(waiting, len(trials)))
        with storages.one_sync(self.study._storage):
            return self._describe(self.study.ask())

    def orphans(self) -> list[optuna.Trial]:
        """Trials that were running when an earlier driver ended; they go on from their checkpoints.

        Paused ones wait, unless the spec that the sweep is resumed with knows no pause of theirs.
        """
        pauses, running = self.pauses, (trial for trial in self.trials() if trial.state == TrialState.RUNNING)
        return [self._adopt(one) for one in running if not (is_paused(one) and pauses.takes_part(one))]

    def report(self, trial: optuna.Trial, value: float, step: int) -> None:
        """Record mIoU at a step; a trial that goes back to an earlier checkpoint writes its steps again."""
        self.study._storage.set_trial_intermediate_value(trial._trial_id, step, value)

    def should_prune(self, trial: optuna.Trial) -> bool:
        """The pruner's word, whatever the objectives: it sees mIoU alone. It has none over trials that pause."""
        frozen, pauses = self.study._storage.get_trial(trial._trial_id), self.pauses
        if pauses.first and pauses.govern(frozen, self.known()):
            return False
        return self.study.pruner.prune(self.study, frozen)

    def pause(self, trial: optuna.Trial, step: int) -> str | None:
        """Why a trial that has just reported this step pauses; None: it goes on."""
        if not (pauses := self.pauses).first:
            return None
        return pauses.due(self.study._storage.get_trial(trial._trial_id), step, self.known())

    def tell(
        self,
        trial: optuna.Trial,
        state: TrialState,
        *,
        miou: float | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """End a trial, a complete one with its mIoU; facts first, because a finished trial is closed to them."""
        with storages.one_sync(self.study._storage):
            for name, fact in (facts or {}).items():
                trial.set_user_attr(name, fact)
            self._end(trial, state, miou)

    def _end(self, trial: optuna.Trial, state: TrialState, miou: float | None) -> None:
        if state == TrialState.PRUNED and len(self.study.directions) > 1:  # Optuna would give it one value of several
            self.study._storage.set_trial_state_values(trial._trial_id, state)
            return
        values = None if miou is None else self._values(trial, miou)
        self.study.tell(trial, values, state=state)

    def _values(self, trial: optuna.Trial, miou: float) -> list[float]:
        others = self.spec.objectives[1 : len(self.study.directions)]
        cost = self.study.user_attrs["costs"][trial.user_attrs["student"]] if others else {}
        return [miou, *(float(cost[name]) for name in others)]

    def _adopt(self, trial: FrozenTrial) -> optuna.Trial:
        if "config" in trial.user_attrs:
            return optuna.Trial(self.study, trial._trial_id)
        self.study.sampler = self._sampler(trial.number)  # its driver died before it was described
        self._describe(reborn(self.study, trial))
        return optuna.Trial(self.study, trial._trial_id)

    def _sampler(self, number: int, attempt: int = 0) -> BaseSampler:
        stream = ROLES.index(self.role) + len(ROLES) * attempt
        if number - self.num_warm in self.probes or attempt >= _ATTEMPTS:
            return engines.uniform(self.spec, number=number, stream=stream)
        if self.role == "baseline" and self.spec.sampler == "grid":  # its points are the search's
            return RandomSampler(seed=number)
        return engines.sampler(self.spec, number=number, stream=stream)

    def _describe(self, trial: optuna.Trial) -> tuple[optuna.Trial, TrialConfig]:
        index = trial.number - self.num_warm
        seed = self._seed(index)
        if (again := self._again(trial)) is not None:
            seed = repeats.other_seed(again, self.study.get_trials(deepcopy=False), self.spec.seeds)
            trial.set_user_attr(repeats.REPEATS, again.number)
            trial._fixed_params = dict(again.params)
        elif self.role == "search" and self.spec.sampler != "grid" and self.space.is_finite:
            trial._fixed_params = self._untried(trial, seed)
        params = self.space.suggest(trial, self.plan.base)
        config = self.space.config(params, {**self.plan.base, "seed": seed})
        attributes: dict[str, Any] = {
            "student": config.student,
            "method": config.method,
            "seed": config.seed,
            "budget": config.steps,
        }
        if compute := Compute.of(self.study):
            config = compute.fitted(config)
            attributes |= compute.attributes(config)
        if index in self.probes:
            attributes["probe"] = True
        if self.role == "search" and (known := prior.recalled(self.study)):
            expected = known.expects({**self.plan.base, **params})
            attributes |= {} if expected is None else {prior.EXPECTED: expected}
        if config.reads("teacher"):
            attributes |= {"teacher": config.teacher, "pair": pair_name(config.teacher, config.student)}
        attributes["config"] = config.model_dump(mode="json")  # last: a trial that has it is described whole
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        return trial, config

    def _again(self, trial: optuna.Trial) -> FrozenTrial | None:
        """The trial whose config this one runs once more on another seed, to measure luck."""
        index = trial.number - self.num_warm
        if self.role != "search" or self.spec.sampler != "belief" or index in self.probes or trial._fixed_params:
            return None
        others = [other for other in self.study.get_trials(deepcopy=False) if other.number != trial.number]
        return repeats.due(others, left=self.num_trials - index)

    def _untried(self, trial: optuna.Trial, seed: int) -> dict[str, Any]:
        """Params that no trial of this seed has had, as far as a few attempts find any: a repeat tells nothing."""
        others = [other for other in self.study.get_trials(deepcopy=False) if other.number != trial.number]
        tried = [other.params for other in others if other.user_attrs.get("seed") == seed]
        params: dict[str, Any] = {}
        for attempt in range(2 * _ATTEMPTS):
            self.study.sampler = self._sampler(trial.number, attempt)
            params = self.space.suggest(dry(self.study, trial), self.plan.base)
            if params not in tried:
                break
        return params

    def _seed(self, index: int) -> int:
        """Baselines take the students in turn, so the seed moves on after each round of them."""
        if self.role == "search":
            return self.spec.seed_of(index)
        return self.spec.seeds[index // len(self.space.students(self.plan.base)) % len(self.spec.seeds)]


def open_arms(spec: StudySpec, directory: Path, *, data_digest: str, new: bool = False) -> dict[Role, Arm]:
    """Open or create both studies of a sweep in its storage.

    Args:
        new: the sweep is expected to be the first one of its name in the storage.

    Raises:
        StudyError: the storage holds this study already, or with another space, base or data set.
    """
    storage = storages.open_storage(spec, directory)
    return {role: _open(spec, plan, storage, data_digest, new=new) for role, plan in plans(spec).items()}


def trial_directory(role: Role, number: int) -> str:
    """Where a trial's checkpoints and log are, relative to the study's folder."""
    return f"trials/{role}-{number:05d}"


def study_name(spec: StudySpec, role: Role) -> str:
    return spec.name + {"search": "", "baseline": " (students alone)", "confirmed": " (confirmed)"}[role]


def _open(spec: StudySpec, plan: Plan, storage: BaseStorage, data_digest: str, *, new: bool) -> Arm:
    others = spec.objectives[1:] if plan.role == "search" else []
    directions = [StudyDirection.MAXIMIZE, *(StudyDirection.MINIMIZE for _ in others)]
    study = optuna.create_study(
        study_name=study_name(spec, plan.role), storage=storage, directions=directions, load_if_exists=True
    )
    if plan.role == "baseline":
        study.pruner = NopPruner()  # every gain needs it whole
    else:
        study.pruner = engines.pruner(spec, budget=plan.space.config({}, plan.base).steps)
    identity = {
        "owner": spec.owner,
        "space": plan.space.to_json(),
        "base": plan.base,
        "data": data_digest,
        "objectives": spec.objectives if plan.role == "search" else ["miou"],
    }
    if spec.budget != "steps":
        identity["budget"] = spec.budget
    known = study.user_attrs.get("identity")
    if known is not None:
        budgets = ({"budget": "steps", **known}, {**identity, "budget": spec.budget})
        _refuse_other(*budgets, spec.name, new=new)
    elif plan.role == "search":
        warm.begin(study, spec, plan, identity)
    if plan.role == "baseline":
        warm.enqueue(study, plan.points)  # more of them when a resumed sweep is given more seeds or trials
    if known != identity:
        study.set_user_attr("identity", identity)
    return Arm(plan, study, spec, num_warm=warm.count(study), probes=warm.probes(study))


def _refuse_other(known: Mapping[str, Any], identity: Mapping[str, Any], name: str, *, new: bool) -> None:
    if new or known.get("owner") != identity["owner"]:
        raise StudyError(
            f"The storage already holds study {name!r}. Choose another name, or resume that study's folder."
        )
    for part, value in identity.items():
        if known.get(part, value) != value:
            raise StudyError(
                f"The storage holds study {name!r} with another {part}. Choose another name or storage, or go back to "
                f"that {part}."
            )
