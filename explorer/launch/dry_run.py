"""What a sweep would do and how long it would take: the dry run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from rich.console import Console
from rich.table import Table

from explorer.launch import budgets
from explorer.launch.sweep import check, kinds
from explorer.search.compute import kind
from explorer.study import StudySpec
from search_spaces.pairs import pair_name
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.check import unmeasured
from trainables.data.dataset import SegDataset
from trainables.data.folds import parts_of
from trainables.device import device_name, pick_device
from trainables.errors import DataError
from trainables.preflight import cells
from trainables.preflight.rehearsal import StepTime, step_gmac, step_time
from trainables.teachers import cached_path


@dataclass(frozen=True)
class Part:
    """Trainings of one kind.

    Attributes:
        stage: "teachers", "students alone" or "search".
        what: a model or a pair.
        method: what it is trained with.
        steps: budget of one training; under equal compute what it can afford.
        time: of one step; None for a teacher that the cache holds.
        students: that share a teacher's forward.
        folds: networks of a training, one a fold.
    """

    stage: str
    what: str
    method: str
    steps: int
    time: StepTime | None
    students: int = 1
    folds: int = 1

    @property
    def seconds(self) -> float:
        """Of a step."""
        return self.time.shared_by(self.students) if self.time else 0.0

    @property
    def hours(self) -> float:
        """Of one training to its budget."""
        return self.folds * self.steps * self.seconds / 3600


@dataclass(frozen=True)
class Dry:
    """Attributes:
    trainings: how many there are of each stage; the kinds of a stage share them.
    hours: of each stage if nothing is pruned, were its trainings spread evenly over its kinds.
    device: what the steps were timed on.
    on_gpu: whether that is a GPU.
    notes: on crops that are too small for their network.
    shares: under equal compute, what a step of each kind of trial costs, and how many steps that buys.
    """

    parts: list[Part]
    trainings: dict[str, int]
    hours: dict[str, float]
    device: str
    on_gpu: bool
    notes: list[str] = field(default_factory=list)
    shares: list[str] = field(default_factory=list)


def plan(spec: StudySpec) -> Dry:
    """Time a few steps of every kind of training; no worker is started, and nothing of a study is written.

    Raises:
        HeteroakdError: what `sweep` would refuse; only masks, images and files of weights are not read.
    """
    check(spec)
    configs = list(kinds(spec))
    dataset = open_dataset(configs[0].data)
    if reason := unmeasured(dataset):
        raise DataError(reason)
    time, fitted, shares = _shared_out(spec, dataset) if spec.budget != "steps" else (None, configs, [])
    parts = _parts(fitted, dataset, spec.students_per_group, time or partial(_time, dataset))
    stages = {name: [part for part in parts if part.stage == name] for name in ("teachers", "students alone", "search")}
    trainings = {
        "teachers": sum(part.time is not None for part in stages["teachers"]),
        "students alone": spec.baseline()[2],
        "search": spec.num_trials,
    }
    hours = {
        name: trainings[name] * statistics.mean(part.hours for part in found if part.time)
        for name, found in stages.items()
        if any(part.time for part in found)
    }
    on_gpu = pick_device(configs[0]).type == "cuda"
    return Dry(parts, trainings, hours, device_name(configs[0]), on_gpu, cells.notes(configs, dataset), shares)


def show(dry: Dry, spec: StudySpec, console: Console) -> None:
    """The plan as tables."""
    table = Table(title=f"{spec.name}: plan", title_justify="left")
    for name in ("stage", "teacher and student", "method"):
        table.add_column(name, overflow="fold")
    for name in ("steps", "ms a step", "hours each"):
        table.add_column(name, justify="right")
    for part in dry.parts:
        told = (f"{1000 * part.seconds:.0f}", f"{part.hours:.2f}") if part.time else ("in the cache", "0")
        table.add_row(part.stage, part.what, part.method, f"{part.steps:,}", *told)
    console.print(table)
    if (folds := dry.parts[0].folds) > 1:
        console.print(f"Each training is of {folds} networks, one a fold; hours are of all of them.", highlight=False)
    if dry.shares:
        where = "measured here, and at launch anew" if spec.budget == "seconds" else "as at launch"
        console.print(f"Equal compute, in {spec.budget}, {where}:", highlight=False)
    for note in (*dry.shares, *dry.notes):
        console.print(note, highlight=False, markup=False)
    for stage, count in dry.trainings.items():
        console.print(f"{stage}: {count} trainings, {dry.hours.get(stage, 0):.2f} hours", highlight=False)
    unit, each = ("GPU-hours", spec.processes) if dry.on_gpu else ("hours of one trial's cores", 1)
    console.print(
        f"Training steps: {each * sum(dry.hours.values()):.2f} {unit} on {dry.device}; less by what is pruned, more by "
        "evaluation and loading.",
        highlight=False,
    )
    if spec.processes > 1:
        console.print(
            f"{spec.processes} processes share each batch: a step is one's part of it, without what they exchange.",
            highlight=False,
        )
    elif spec.students_per_group > 1:
        console.print(
            f"Groups of {spec.students_per_group}, were they always full: a pruned trial's place may stay free, and "
            "trials of other teachers or seeds do not meet.",
            highlight=False,
        )
    elif spec.group_size == "auto" or (spec.group_size is None and dry.on_gpu and not spec.trial_base.get("folds")):
        console.print(
            "Trials share their teacher's forward, in groups that are sized at launch: less.", highlight=False
        )
    if any(part.time and part.time.scaled > 1 for part in dry.parts):
        console.print(
            "Smaller steps were timed and their time scaled by pixels: a GPU's hours need a dry run on that GPU.",
            highlight=False,
        )


def _shared_out(
    spec: StudySpec, dataset: SegDataset
) -> tuple[Callable[[TrialConfig], StepTime], list[TrialConfig], list[str]]:
    """Under equal compute: step times, a config of each kind of trial with the steps that it can afford, and in words
    what those cost.
    """
    names, found, _ = budgets.kinds(spec)
    times = {name: _time(dataset, config) for name, config in found.items()}
    costs = {name: taken.seconds for name, taken in times.items()}
    if spec.budget == "gmac":
        costs = {name: step_gmac(config, dataset=dataset) for name, config in found.items()}
    compute = budgets.shared_out(spec, costs)
    fitted = [compute.fitted(config) for config in found.values()]
    return lambda config: times[kind(config, names)], fitted, [*compute.lines(found.values())]


def _parts(
    configs: Iterable[TrialConfig], dataset: SegDataset, students: int, time: Callable[[TrialConfig], StepTime]
) -> list[Part]:
    parts: dict[tuple[str, str, str, int], Part] = {}
    for config in configs:
        if config.trains_teacher:
            key = ("teachers", config.teacher, "task", config.teacher_recipe.steps)
            if key not in parts:
                cached = all(cached_path(config, dataset=one).exists() for one in parts_of(dataset, config))
                taken = None if cached else _time(dataset, config.teacher_config())
                parts[key] = Part(*key, taken, folds=config.folds or 1)
        alone = config.method == "task"
        what = config.student if alone else pair_name(config.teacher, config.student)
        key = ("students alone" if alone else "search", what, config.method, config.steps)
        if key not in parts:
            parts[key] = Part(*key, time(config), students, config.folds or 1)
    order = ("teachers", "students alone", "search")
    return sorted(parts.values(), key=lambda part: order.index(part.stage))


def _time(dataset: SegDataset, config: TrialConfig) -> StepTime:
    return step_time(config, dataset=dataset)
