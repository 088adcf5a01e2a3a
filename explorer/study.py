"""StudySpec: what to search, how long and with what resources; YAML in and out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from search_spaces import preset
from search_spaces.space import SearchSpace
from trainables.config import load_yaml, with_teacher_recipe
from trainables.errors import StudyError, from_validation

SPEC_FILE = "study.yaml"
_NOT_SEARCHED = {
    "seed": "list the seeds under `seeds`, so that baselines share them.",
    "steps": "it is the budget, which gains and pruning compare at. Fix it in `base`.",
    "data": "mIoU on two data sets cannot be compared. Fix it in `base`.",
}


class StudySpec(BaseModel):
    """One study. Frozen; unknown fields are refused. `study.yaml` in a study's folder holds it, resolved."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(
        "study", description="Shown in titles; names the study in the storage.", min_length=1, max_length=200
    )
    preset: str | None = Field(None, description="Where space, base and enqueue come from, if not given here.")
    space: dict[str, Any] = Field({}, description="Dimension -> list of choices, or {low, high, log, step}.")
    base: dict[str, Any] = Field({}, description="Fields of TrialConfig that every trial shares.")
    enqueue: list[dict[str, Any]] = Field([], description="(Partial) params to try first.")

    num_trials: int = Field(30, description="Trials of the search, failed ones included.", ge=1)
    seeds: list[int] = Field([0], description="Trial n runs with seed n modulo their number.", min_length=1)
    baseline_trials: int | None = Field(
        None, description="Trials of the students alone; none: as many as the search has, or one per student and seed "
        "where they have nothing to search.", ge=1
    )  # fmt: skip

    sampler: str = Field("tpe", description="An Optuna sampler: tpe, random, gp, cmaes, nsgaii, qmc, ...")
    sampler_options: dict[str, Any] = Field({}, description="Its arguments; `seed` is `sampler_seed`.")
    sampler_seed: int = Field(0, ge=0)
    pruner: str = Field("hyperband", description="An Optuna pruner: hyperband, successivehalving, median, nop, ...")
    pruner_options: dict[str, Any] = Field({}, description="Its arguments beside the three below.")
    grace_period: int | None = Field(None, description="Steps before a trial may be pruned; none: a quarter.", ge=1)
    reduction_factor: int = Field(3, description="Of n trials at a rung, n / reduction_factor go on.", ge=2)

    cpus_per_trial: float = Field(1, description="CPU cores a trial asks for.", gt=0)
    gpus_per_trial: float | None = Field(None, description="GPUs, or a fraction; none: 1 where there is one.", ge=0)
    max_concurrent: int | None = Field(None, description="Trials at a time; none: what the resources allow.", ge=1)
    time_budget_s: float | None = Field(None, description="Stop after this many seconds; resumable.", gt=0)
    max_failures: int = Field(1, description="Restarts of a trial whose worker died.", ge=0)
    storage: str | None = Field(None, description="journal, sqlite or a database URL; none: a journal file.")

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, where: str = "") -> StudySpec:
        """Validate a mapping and fill space, base and enqueue from its preset.

        Raises:
            ConfigError: one sentence per wrong field.
        """
        values = dict(values)
        if name := values.get("preset"):
            values = _fill(values, preset.load(str(name)))
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise from_validation(error, known=cls.model_fields, where=where) from None

    @classmethod
    def load(cls, path: Path) -> StudySpec:
        """Read a YAML file.

        Raises:
            ConfigError: no such file, or a wrong field.
        """
        return cls.parse(load_yaml(path), where=f"{path}: ")

    def save(self, directory: Path) -> None:
        """Write `study.yaml`."""
        text = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
        (directory / SPEC_FILE).write_text(text)

    @property
    def search_space(self) -> SearchSpace:
        return SearchSpace.from_dict(self.space)

    @property
    def trial_base(self) -> dict[str, Any]:
        """`base`, with as many threads as a trial has cores and the teacher's recipe completed."""
        return with_teacher_recipe({"num_threads": max(1, int(self.cpus_per_trial)), **self.base})

    def baseline(self) -> tuple[SearchSpace, dict[str, Any], int]:
        """Space, base and trials of the matched students alone: same fields, budget and seeds, no teacher."""
        space, base = self.search_space, self.trial_base
        students = space.students(base)
        tuned = space.task_space(base)
        alone = {name: value for name, value in base.items() if name not in ("pair", "teacher", "student")}
        per_seed = len(students) * len(self.seeds)
        trials = self.baseline_trials or (max(per_seed, self.num_trials) if tuned.dimensions else per_seed)
        with_student = SearchSpace.from_dict({"student": list(students), **tuned.to_dict()})
        return with_student, {**alone, "method": "task"}, trials

    def check(self) -> None:
        """Refuse what would waste or fail a trial, before any worker starts.

        Raises:
            ConfigError, StudyError: one sentence with value, rule and remedy.
        """
        base = self.trial_base
        if not self.space:
            raise StudyError("The space is empty, so there is nothing to search. Give `space` or `preset`.")
        if "seed" in self.base:
            raise StudyError(f"`base` fixes seed to {self.base['seed']}. List the seeds under `seeds` instead.")
        if len({*self.seeds}) < len(self.seeds) or min(self.seeds) < 0:
            raise StudyError(f"seeds must be different and >= 0, got {self.seeds}.")
        for name, remedy in _NOT_SEARCHED.items():
            if name in self.space:
                raise StudyError(f"{name!r} is no dimension: {remedy}")
        space = self.search_space
        space.check(base)
        for params in self.enqueue:
            for name, value in params.items():
                if name not in space.dimensions:
                    raise StudyError(
                        f"enqueue names {name!r}, which is no dimension. Dimensions: {', '.join(space.dimensions)}."
                    )
                if not _contains(space, name, value):
                    raise StudyError(f"enqueue has {name} = {value!r}, which lies outside {space.to_dict()[name]}.")

    def grace(self, budget: int) -> int:
        """Steps before a trial may be pruned."""
        return self.grace_period or math.ceil(budget / 4)


def _fill(values: dict[str, Any], known: preset.Preset) -> dict[str, Any]:
    """A preset below the values given: fixing a field takes it out of the preset's space, and a pair its networks."""
    fixed = values.get("base") or {}
    replaced = {*fixed, *({"teacher", "student"} if "pair" in fixed else ())}
    if replaced & {"teacher", "student"}:
        replaced.add("pair")
    space = {name: form for name, form in known.space.to_dict().items() if name not in replaced}
    base = {name: value for name, value in known.base.items() if name not in replaced}
    filled = {"name": known.name, "space": space, **values, "base": {**base, **fixed}}
    return {"enqueue": _fitting(known.enqueue, filled["space"]), **filled}


def _fitting(points: Iterable[Mapping[str, Any]], space: Any) -> list[dict[str, Any]]:
    """A preset's points as far as they lie in a space, each once."""
    searched = SearchSpace.from_dict(space) if isinstance(space, dict) else SearchSpace({})
    fitting: list[dict[str, Any]] = []
    for params in points:
        point = {name: value for name, value in params.items() if name in searched.dimensions}
        inside = all(_contains(searched, name, value) for name, value in point.items())
        if point and inside and point not in fitting:
            fitting.append(point)
    return fitting


def _contains(space: SearchSpace, name: str, value: Any) -> bool:
    distribution = space.dimensions[name]
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:
        return False
