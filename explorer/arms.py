"""An arm: one Optuna study, its space and how many trials it gets. A sweep has two, `baseline` and `search`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.pruners import NopPruner
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from explorer import engines, storages
from explorer.study import StudySpec
from search_spaces.pairs import pair_name
from search_spaces.space import SearchSpace
from trainables.config import TrialConfig
from trainables.errors import StudyError

Role = Literal["baseline", "search"]
ROLES: tuple[Role, ...] = ("baseline", "search")  # in this order: gains can be shown as soon as trials finish


@dataclass(frozen=True)
class Arm:
    """Asks its study for trials until it has `num_trials` of them, in whatever state."""

    role: Role
    study: optuna.Study
    space: SearchSpace
    base: dict[str, Any]
    num_trials: int
    seeds: tuple[int, ...]

    @property
    def budget(self) -> int:
        """Steps of a full trial."""
        return self.space.config({}, self.base).steps

    def remaining(self) -> int:
        """Trials not asked for yet; enqueued ones wait to be asked for."""
        asked = [trial for trial in self.study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]
        return max(0, self.num_trials - len(asked))

    def num_open(self) -> int:
        """Trials that have not ended: running in the storage, or not asked for yet."""
        return len(self.orphans()) + self.remaining()

    def ask(self) -> tuple[optuna.Trial, TrialConfig]:
        """A new trial, with everything one may want to know about it later as attributes."""
        trial = self.study.ask()
        params = self.space.suggest(trial, self.base)
        seed = self.seeds[self._repeat(trial.number) % len(self.seeds)]
        config = self.space.config(params, {**self.base, "seed": seed})
        attributes: dict[str, Any] = {
            "student": config.student,
            "method": config.method,
            "seed": config.seed,
            "budget": config.steps,
        }
        if config.reads("teacher"):
            attributes |= {"teacher": config.teacher, "pair": pair_name(config.teacher, config.student)}
        attributes["config"] = config.model_dump(mode="json")  # last: a trial that has it is described whole
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        return trial, config

    def tell(self, trial: optuna.Trial, value: float | None, state: TrialState) -> None:
        """End a trial. A grid that has no point left asks Optuna's own loop to stop; here the quota does that."""
        try:
            self.study.tell(trial, value, state=state)
        except RuntimeError as error:
            if "Study.stop" not in str(error):
                raise

    def orphans(self) -> list[optuna.Trial]:
        """Trials that were running when an earlier driver ended; they go on from their checkpoints."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [optuna.Trial(self.study, trial._trial_id) for trial in running if "config" in trial.user_attrs]

    def close_unborn(self) -> None:
        """End trials that were asked for but never described, because the driver died in between."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if "config" not in trial.user_attrs:
                self.study.tell(trial.number, state=TrialState.FAIL)

    def _repeat(self, number: int) -> int:
        """Baselines take the students in turn, so the seed moves on after each round of them."""
        return number // len(self.space.students(self.base)) if self.role == "baseline" else number


def open_arms(spec: StudySpec, directory: Path, *, data_digest: str, new: bool = False) -> dict[Role, Arm]:
    """Open or create both studies of a sweep in its storage.

    Args:
        new: the sweep is expected to be the first one of its name in the storage.

    Raises:
        StudyError: the storage holds this study already, or with another space, base or data set.
    """
    storage = storages.open_storage(spec, directory)
    alone, alone_base, num_baselines = spec.baseline()
    students = alone.students(alone_base)
    points = [{"student": students[n % len(students)]} for n in range(num_baselines)]
    plans: tuple[tuple[Role, SearchSpace, dict[str, Any], int, list[dict[str, Any]]], ...] = (
        ("baseline", alone, alone_base, num_baselines, points),
        ("search", spec.search_space, spec.trial_base, spec.num_trials, spec.enqueue),
    )
    arms: dict[Role, Arm] = {}
    for role, space, base, num_trials, enqueue in plans:
        study = _open(spec, storage, role, space, base, data_digest, enqueue, new=new)
        arms[role] = Arm(role, study, space, base, num_trials, tuple(spec.seeds))
    return arms


def trial_directory(role: Role, number: int) -> str:
    """Where a trial's checkpoints and log are, relative to the study's folder."""
    return f"trials/{role}-{number:05d}"


def study_name(spec: StudySpec, role: Role) -> str:
    return spec.name if role == "search" else f"{spec.name} (students alone)"


def _open(
    spec: StudySpec,
    storage: BaseStorage,
    role: Role,
    space: SearchSpace,
    base: dict[str, Any],
    data_digest: str,
    points: list[dict[str, Any]],
    *,
    new: bool,
) -> optuna.Study:
    study = optuna.create_study(
        study_name=study_name(spec, role), storage=storage, direction="maximize", load_if_exists=True
    )
    asked = sum(trial.state != TrialState.WAITING for trial in study.get_trials(deepcopy=False))
    if new and asked:
        raise StudyError(
            f"The storage already holds study {spec.name!r} with {asked} trials. Choose another name, or resume its "
            "folder."
        )
    if role == "baseline" and spec.sampler == "grid":  # its points are the search's
        study.sampler = optuna.samplers.RandomSampler(seed=spec.sampler_seed + asked)
    else:
        study.sampler = engines.sampler(spec, asked=asked)
    if role == "baseline":  # never pruned: every gain needs it whole
        study.pruner = NopPruner()
    else:
        study.pruner = engines.pruner(spec, budget=space.config({}, base).steps)
    identity = {"space": space.to_json(), "base": base, "data": data_digest}
    known = study.user_attrs.get("identity")
    if known is None:
        for point in points[len(study.get_trials(deepcopy=False)) :]:  # a driver may have died in this loop
            study.enqueue_trial(point)
        study.set_user_attr("identity", identity)
        return study
    for name, value in identity.items():
        if known[name] != value:
            raise StudyError(
                f"The storage holds study {spec.name!r} with another {name}. Choose another name or storage, or go "
                f"back to that {name}."
            )
    return study
