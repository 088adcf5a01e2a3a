"""What Ray gives a trial or a group of trials: cores, GPUs, how many at a time, how many students to a teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import ray

from explorer.launch import tasks
from explorer.study import StudySpec
from trainables import own
from trainables.config import TrialConfig
from trainables.errors import StudyError
from trainables.tune import group_that_fits

MOST = 8  # students of a group that is sized automatically: beyond it, the teacher's share is small


class Means(NamedTuple):
    """Attributes:
    resources: of a trial, or of a group: cpu, gpu.
    slots: trials, or groups, at a time.
    """

    resources: dict[str, float]
    slots: int


def means(spec: StudySpec, *, may_grow: bool) -> Means:
    """Raises:
    StudyError: not even one trial fits, its processes have too few GPUs, or GPU-hours are limited but trials use no
        GPU.
    """
    resources = _resources(spec)
    if 0 < resources["gpu"] < spec.processes > 1:
        raise StudyError(
            f"processes is {spec.processes}, a GPU each, but a trial holds {resources['gpu']:g}. Set gpus_per_trial to "
            f"{spec.processes}, or leave processes out."
        )
    if spec.gpu_hours is not None and not resources["gpu"]:
        raise StudyError(
            f"gpu_hours is {spec.gpu_hours}, but a trial holds no GPU. Limit total_steps or time_budget_s instead."
        )
    return Means(resources, _slots(spec, resources, may_grow=may_grow))


def with_group_size(
    spec: StudySpec, found: Means, kinds: Iterable[TrialConfig], *, say: Callable[[str], None]
) -> StudySpec:
    """The spec with a number for its group_size, by the memory of the machine that has what a trial is given.

    Args:
        kinds: one config of each kind that trials can have; not looked at where the size is a number.
        say: told that sizes are measured, which takes a while, and what was found.

    Raises:
        ModelError: a network that cannot be built there.
    """
    if spec.trial_base.get("folds"):  # a trial of several folds is a group already
        return spec.model_copy(update={"group_size": 1})
    size = spec.group_size or ("auto" if found.resources["gpu"] else 1)
    if spec.processes > 1:
        size = 1
    if size == "auto":
        say("group_size: measuring how many students fit beside a teacher")
        size = _measured(spec, found, kinds)
        say(f"group_size: {size}")
    return spec.model_copy(update={"group_size": size})


def _measured(spec: StudySpec, found: Means, kinds: Iterable[TrialConfig]) -> int:
    gpus = found.resources["gpu"]
    each = {(config.teacher, config.student, config.method): config for config in kinds}
    values = [config.model_dump(mode="json") for config in each.values()]
    share = gpus if gpus else 1 / found.slots
    call = {"configs": values, "share": share, "most": min(MOST, spec.num_trials), "code": own.folders()}
    fits: int
    ((_, fits),) = tasks.results(
        group_that_fits, [("size", call)], **found._asdict(), max_failures=spec.max_failures, what="the group's"
    )
    return fits


def _resources(spec: StudySpec) -> dict[str, float]:
    gpus = spec.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if ray.cluster_resources().get("GPU") else 0.0
    return {"cpu": spec.cpus_per_trial, "gpu": gpus}


def _slots(spec: StudySpec, resources: dict[str, float], *, may_grow: bool) -> int:
    """Trials at a time: what the resources hold, at most `max_concurrent`; just that on a cluster, which may scale up.

    Raises:
        StudyError: not even one trial fits.
    """
    if may_grow and spec.max_concurrent:
        return spec.max_concurrent
    there = ray.cluster_resources()
    held = [there.get(name.upper(), 0.0) / need for name, need in resources.items() if need]
    if min(held) < 1:
        raise StudyError(f"A trial asks for {resources}, but the cluster has {dict(there)}. Ask for less.")
    return min(int(min(held)), spec.max_concurrent or int(min(held)))
