"""StudySpec: what to search, how long and with what resources; YAML in and out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from explorer.filled import contains, filled
from explorer.redact import holds_password, redact
from search_spaces import preset
from search_spaces.space import SearchSpace
from trainables.config import with_teacher_recipe
from trainables.errors import StudyError, from_validation
from trainables.kept import atomic
from trainables.published import with_data_defaults
from trainables.yamls import load_yaml

SPEC_FILE = "study.yaml"
Cost = Literal["parameters_millions", "gmac", "latency_ms"]
Objective = Literal["miou", Cost]
PROBES, PROBES_FROM = 16, 60
PSEUDO_WEIGHTS = {"low": 0.1, "high": 3.0, "log": True}
"""Of a student alone that learns from unlabelled images by itself, unless the study says otherwise."""

_NOT_SEARCHED = {
    "seed": "list the seeds under `seeds`, so that baselines share them.",
    "steps": "it is the budget, which gains and pruning compare at. Fix it in `base`.",
    "eval_every": "trials are compared at the steps where they are evaluated. Fix it in `base`.",
    "data": "mIoU on two data sets cannot be compared. Fix it in `base`.",
    "processes": "it is what trials hold, not what they are. Fix it in `base`, or set gpus_per_trial.",
    "folds": "trials are compared on the same images. Fix it in `base`.",
    "fold_by": "trials are compared on the same images. Fix it in `base`.",
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
    balance: str | None = Field(
        None, description="A dimension with choices that take turns: as many trials for each, on every seed."
    )
    objectives: list[Objective] = Field(
        ["miou"], description="mIoU first; each other is a cost of the student to be low, for a Pareto front."
    )
    constraints: dict[Cost, float] = Field({}, description="Most that a student may cost: {parameters_millions: 5}.")
    latency: dict[str, float] | list[str] | str | None = Field(
        None, description="Where latency_ms comes from: bench.json files of a device (`heteroakd bench`), or "
        "{student: ms}; none: measured where the sweep is launched.",
    )  # fmt: skip
    latency_of: str | None = Field(
        None, description="Which rows of these files, such as `int8 512x1024`; none: all are of one kind."
    )
    warm_start: str | None = Field(
        None, description="Folder of an earlier study. Equal data, base and space: its trials are known; else: what it "
        "believes is a prior.",
    )  # fmt: skip
    probes: int | None = Field(
        None, description="Random, never pruned trials among num_trials, which keep importances identifiable; none: "
        "16 of 60 or more.", ge=0
    )  # fmt: skip
    baseline_trials: int | None = Field(
        None, description="Trials of the students alone; none: as many as the search has, or one per student and seed "
        "where they have nothing to search.", ge=1
    )  # fmt: skip

    sampler: str = Field(
        "tpe",
        description="tpe, belief, gp, cmaes (which draws categories at random), nsgaii, nsgaiii, qmc, random, grid.",
    )
    sampler_options: dict[str, Any] = Field({}, description="Its arguments; `seed` is `sampler_seed`.")
    sampler_seed: int = Field(0, description="Seed of what is proposed.", ge=0)
    pruner: str = Field(
        "hyperband",
        description="hyperband, successivehalving, median, percentile, patient, threshold, wilcoxon, asha, evidence, "
        "none.",
    )
    pruner_options: dict[str, Any] = Field({}, description="Its arguments beside the three below.")
    budget: Literal["steps", "seconds", "gmac"] = Field(
        "steps", description="What trials have equally much of; seconds and gmac: a step of each kind is measured at "
        "launch, and costly ones get fewer steps than the student alone, which has `steps`.",
    )  # fmt: skip
    total_steps: int | None = Field(None, description="Ask for no more trials after this many steps, all told.", ge=1)
    gpu_hours: float | None = Field(None, description="Ask for no more trials after this many GPU-hours.", gt=0)
    plateau_trials: int | None = Field(
        None, description="Ask for no more after this many full trials without plateau_gain.", ge=1
    )
    plateau_gain: float = Field(0.001, description="What counts as a gain in mIoU, in [0, 1].", ge=0, lt=1)
    stop_when: float | None = Field(
        None,
        description="Ask for no more once, by ten trials in a row, another 10 are expected to bring fewer points.",
        ge=0,
    )

    grace_period: int | None = Field(
        None, description="Steps before a trial may be pruned; none: a quarter, for `evidence` an eighth.", ge=1
    )
    reduction_factor: int = Field(3, description="Of n trials at a rung, n / reduction_factor go on.", ge=2)

    group_size: int | str | None = Field(
        None, description="Trials that train side by side on one forward of their teacher; auto: as many as memory "
        "holds, at most 8; none: auto on a GPU, 1 on a CPU.",
    )  # fmt: skip
    cpus_per_trial: float = Field(1, description="CPU cores a trial, or a group of them, asks for.", gt=0)
    gpus_per_trial: float | None = Field(
        None, description="GPUs of a trial or group, or a fraction; of 2 or more, each computes a part of every batch; "
        "none: 1 where there is one.", ge=0
    )  # fmt: skip
    max_concurrent: int | None = Field(
        None, description="Trials, or groups, at a time; none: what the resources allow.", ge=1
    )
    time_budget_s: float | None = Field(None, description="Stop after this many seconds; resumable.", gt=0)
    max_failures: int = Field(
        1,
        description="Restarts of a trial whose worker dies without a step of progress; lost nodes apart.",
        ge=0,
    )
    storage: str | None = Field(
        None, description="journal, sqlite, a database URL, grpc://HOST:PORT or env:NAME; none: a journal file."
    )
    owner: str | None = Field(None, description="Set at launch: tells studies of one name in a shared storage apart.")
    storage_path: str | None = Field(
        None, description="Where checkpoints are kept: a path or s3://...; none: the study's folder."
    )
    mlflow: str | None = Field(
        None, description="Log to MLflow too, at http://HOST:PORT, sqlite:///FILE, file:FOLDER or env:NAME."
    )
    tensorboard: bool = Field(False, description="Write TensorBoard's events too, to tensorboard/ in the folder.")

    wandb: str | None = Field(None, description="Log to Weights & Biases too: PROJECT or ENTITY/PROJECT.")
    hook: str | None = Field(
        None, description="A class of yours that the driver tells of reports and ends: package.module:Hook."
    )

    @field_validator("group_size", mode="before")
    @classmethod
    def _is_a_size(cls, value: Any) -> Any:
        if value in (None, "auto") or (type(value) is int and value >= 1):
            return value
        raise ValueError(f"group_size must be a whole number >= 1 or 'auto', got {value!r}.")

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, where: str = "") -> StudySpec:
        """Validate a mapping and fill space, base and enqueue from its preset.

        Raises:
            ConfigError: one sentence per wrong field.
        """
        values = dict(values)
        if name := values.get("preset"):
            values = filled(values, preset.load(str(name)))
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

    @classmethod
    def of(cls, directory: Path) -> StudySpec:
        """The spec of a study's folder.

        Raises:
            StudyError: it holds no study.
        """
        if not (directory / SPEC_FILE).exists():
            raise StudyError(f"{directory} holds no study ({SPEC_FILE} is missing). Start one with `heteroakd sweep`.")
        return cls.load(directory / SPEC_FILE)

    def save(self, directory: Path) -> None:
        """Write `study.yaml`; for its owner's eyes alone if it holds a password."""
        text = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

        def fill(part: Path) -> None:
            part.touch(mode=0o600 if holds_password(text) else 0o666)
            part.write_text(text, encoding="utf-8")

        atomic.write(directory / SPEC_FILE, fill)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """A repr may end up in a log, so it shows no password."""
        for name, value in super().__repr_args__():
            yield name, redact(value) if isinstance(value, str) else value

    @property
    def search_space(self) -> SearchSpace:
        return SearchSpace.from_dict(self.space)

    @property
    def trial_base(self) -> dict[str, Any]:
        """`base`, with as many threads as a trial has cores, as many processes as GPUs, the data set's crop and the
        teacher's recipe completed.
        """
        threads = max(1, int(self.cpus_per_trial / self.processes))
        usual = {"num_threads": threads, **with_data_defaults(self.base)}
        if self.processes > 1:
            usual["processes"] = self.processes
        whole = with_teacher_recipe(usual)
        return {name: value for name, value in whole.items() if name in self.base or name not in self.space}

    @property
    def processes(self) -> int:
        """That share a trial's batches: what `base` says, else one for each GPU."""
        given = self.base.get("processes")
        return given if isinstance(given, int) else max(1, int(self.gpus_per_trial or 1))

    @property
    def folder_name(self) -> str:
        """The name as a folder's: nothing in it leads anywhere else."""
        return re.sub(r"[^\w.-]+", "-", self.name)[:100].strip(".-") or "study"

    @property
    def students_per_group(self) -> int:
        """`group_size`, once it is a number; a launch sees to that."""
        return self.group_size if isinstance(self.group_size, int) else 1

    def seed_of(self, repeat: int) -> int:
        """Of a trial, by its place among those that differ in nothing else.

        Groups need one seed, so seeds take turns in blocks of at most a group, as many for each. Under `balance` the
        points are laid out for turns of one.
        """
        num = len(self.seeds)
        if self.balance or self.students_per_group == 1:
            return self.seeds[repeat % num]
        blocks = num * math.ceil(self.num_trials / (num * self.students_per_group))
        return self.seeds[repeat * blocks // self.num_trials % num]

    @property
    def num_probes(self) -> int:
        if self.probes is not None:
            return self.probes
        wanted = self.num_trials >= PROBES_FROM and self.sampler != "grid" and self.balance is None
        return PROBES if wanted else 0

    @property
    def points(self) -> list[dict[str, Any]]:
        """What to try first: the enqueued points; under `balance` one for each trial, whose choices take turns.

        A choice's enqueued points come in its first turns, each on every seed.
        """
        if self.balance is None:
            return self.enqueue
        choices = self.space[self.balance]
        own = {choice: [point for point in self.enqueue if point[self.balance] == choice] for choice in choices}
        rounds = (divmod(trial // len(self.seeds), len(choices)) for trial in range(self.num_trials))
        return [
            own[choices[turn]][n] if n < len(own[choices[turn]]) else {self.balance: choices[turn]}
            for n, turn in rounds
        ]

    def baseline(self) -> tuple[SearchSpace, dict[str, Any], int]:
        """Space, base and trials of the matched students alone: same fields, budget and seeds, no other network.

        Where the search learns from unlabelled images, they may too, from their own pseudo-labels.
        """
        space, base = self.search_space, self.trial_base
        students = space.alone(base)
        alone = {name: value for name, value in base.items() if name not in ("pair", "teacher", "student")}
        tuned, alone = _self_training(space.task_space(base).to_dict(), alone)
        per_seed = len(students) * len(self.seeds)
        matched = self.num_trials
        if self.balance == "method":  # a student alone is one more method
            matched = matched // len(self.space["method"]) * len(students)
        ratios = tuned.get("unlabelled_ratio")
        rounds = len(ratios) if isinstance(ratios, list) else 1  # so that each is tried, see `plan.plans`
        trials = self.baseline_trials or (max(per_seed * rounds, matched) if tuned else per_seed)
        with_student = SearchSpace.from_dict({"student": list(students), **tuned})
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
        if "seed" in self.sampler_options:
            raise StudyError("sampler_options holds seed, which every trial would share. Set sampler_seed instead.")
        if self.storage in ("sqlite://", "sqlite:///:memory:"):
            raise StudyError(f"storage {self.storage!r} is gone with its process. Use sqlite, which is a file.")
        if self.objectives[0] != "miou" or len({*self.objectives}) < len(self.objectives):
            raise StudyError(f"objectives must start with miou and name each once, got {self.objectives}.")
        self._check_gpus()
        if self.balance is not None:
            self._check_balance()
        elif self.num_probes + len(self.enqueue) > self.num_trials:
            raise StudyError(
                f"num_trials is {self.num_trials}, which does not hold {len(self.enqueue)} enqueued points and "
                f"{self.num_probes} probes. Raise num_trials or lower probes."
            )
        for name, remedy in _NOT_SEARCHED.items():
            if name in self.space:
                raise StudyError(f"{name!r} is no dimension: {remedy}")
        if (folds := base.get("folds")) and self.group_size not in (None, 1):
            raise StudyError(
                f"folds is {folds}, but group_size is {self.group_size!r}: trials of several folds do not train in "
                "groups. Leave group_size out."
            )
        space = self.search_space
        space.check(base)
        budget = space.config({}, base).steps
        if self.grace_period is not None and self.grace_period > budget:
            raise StudyError(f"grace_period is {self.grace_period}, more than the budget of {budget} steps. Lower it.")
        for params in self.enqueue:
            for name, value in params.items():
                if name not in space.dimensions:
                    raise StudyError(
                        f"enqueue names {name!r}, which is no dimension. Dimensions: {', '.join(space.dimensions)}."
                    )
                if not contains(space, name, value):
                    raise StudyError(f"enqueue has {name} = {value!r}, which lies outside {space.to_dict()[name]}.")

    def _check_gpus(self) -> None:
        """Refuse GPUs that cannot be shared out, before Ray is asked for them."""
        gpus = self.gpus_per_trial
        if gpus is not None and gpus > 1 and gpus != int(gpus):
            raise StudyError(f"gpus_per_trial above 1 must be a whole number, got {gpus}. Take {math.ceil(gpus)}.")
        if self.processes > 1 and self.students_per_group > 1:
            raise StudyError(
                f"group_size is {self.group_size}, but trials of {self.processes} processes train by themselves. Set "
                "group_size to 1."
            )

    def _check_balance(self) -> None:
        """Refuse what would make the turns unequal."""
        choices = self.space.get(self.balance or "")
        if not isinstance(choices, list):
            raise StudyError(f"balance names {self.balance!r}, which is no dimension with a list of choices.")
        if round_ := self.num_trials % (len(choices) * len(self.seeds)):
            whole = self.num_trials - round_ + len(choices) * len(self.seeds)
            raise StudyError(
                f"num_trials must be a multiple of {len(choices)} choices of {self.balance} times {len(self.seeds)} "
                f"seeds, got {self.num_trials}. Take {whole}."
            )
        if self.probes or self.warm_start or self.sampler == "grid":
            raise StudyError("balance decides what a trial tries: it takes no probes, warm_start or grid sampler.")
        if any(self.balance not in point for point in self.enqueue):
            raise StudyError(f"Under balance, each enqueued point must name {self.balance}.")
        turns = self.num_trials // (len(choices) * len(self.seeds))
        for choice in choices:
            if (own := sum(point[self.balance or ""] == choice for point in self.enqueue)) > turns:
                raise StudyError(
                    f"enqueue has {own} points of {self.balance} = {choice!r}, which has {turns} turns on each seed. "
                    f"Raise num_trials to {own * len(choices) * len(self.seeds)} or remove points."
                )

    def grace(self, budget: int) -> int:
        """Steps before a trial may be pruned."""
        return self.grace_period or math.ceil(budget / (8 if self.pruner == "evidence" else 4))


def _self_training(space: dict[str, Any], base: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Space and base of the students alone; where the search takes unlabelled images, with the choice between labels
    alone and pseudo-labels too.
    """
    ratio = base.get("unlabelled_ratio", 0.0)
    if not ratio and "unlabelled_ratio" not in space:
        return space, base
    if ratio:
        space = {**space, "unlabelled_ratio": [0.0, ratio]}
        base = {name: value for name, value in base.items() if name != "unlabelled_ratio"}
    if "pseudo_weight" not in base:
        space = {"pseudo_weight": PSEUDO_WEIGHTS, **space}
    return space, base
