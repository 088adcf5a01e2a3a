"""What a study knows before its first trial: enqueued points, and an earlier study's trials or belief."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from explorer.search import prior
from explorer.search.plan import Plan
from explorer.search.prior import Prior
from explorer.storage import storages
from explorer.study import SPEC_FILE, StudySpec
from trainables.errors import StudyError

WARM, PROBES = "warm", "probes"  # attributes of the study
MOST_POINTS = 4  # points taken over from a study whose mIoU cannot be compared; half of the first ones of `belief`
_KEPT = ("student", "teacher", "pair", "method", "seed", "budget", "steps", "relative_cost", "seconds", "iou")


def check(spec: StudySpec) -> None:
    """Refuse a warm start that cannot be made.

    Raises:
        StudyError: no study there, or none of its dimensions is one of this study's.
    """
    if spec.warm_start is not None:
        _earlier(spec)


def begin(study: optuna.Study, spec: StudySpec, plan: Plan, identity: Mapping[str, Any]) -> None:
    """Fill a new search study: first what an earlier study knows, then the enqueued points, then the probes' places.

    Trials of an earlier study on the same data, base, space and objectives are copied, whole and pruned ones, with
    every reported value; they do not count as trials of this one. What any other study believes becomes a prior, and a
    few of its good points are tried first: its mIoU cannot be compared with ours. What is to be taken is decided once,
    since a driver may die in here and the earlier study may still run.
    """
    if WARM not in study.user_attrs:
        copies, known = _carried(spec, identity)
        points = [] if known is None else known.points(plan.space.dimensions, min(MOST_POINTS, spec.num_trials // 2))
        if known is not None:
            known.remember(study)
        points = [point for point in points if point not in plan.points]
        study.set_user_attr(WARM, {"from": spec.warm_start, "count": len(copies), "points": points})
    taken = study.user_attrs[WARM]
    if len(study.get_trials(deepcopy=False)) < taken["count"]:
        copies, _ = _carried(spec, identity)
        for trial in copies[len(study.get_trials(deepcopy=False)) : taken["count"]]:
            study.add_trial(trial)
    points = [*plan.points, *taken["points"]]
    enqueue(study, points, after=taken["count"])
    study.set_user_attr(PROBES, plan.probes(len(points)))


def enqueue(study: optuna.Study, points: Sequence[Mapping[str, Any]], *, after: int = 0) -> None:
    """Points to try first; those that are in the study already, behind its first `after` trials, are skipped."""
    for point in points[len(study.get_trials(deepcopy=False)) - after :]:
        study.enqueue_trial(dict(point))


def count(study: optuna.Study) -> int:
    """Trials at the head of the study that an earlier one ran."""
    return int(study.user_attrs.get(WARM, {}).get("count", 0))


def own(study: optuna.Study) -> list[FrozenTrial]:
    """The trials of this sweep, by number."""
    return study.get_trials(deepcopy=False)[count(study) :]


def probes(study: optuna.Study) -> frozenset[int]:
    """Which of this sweep's trials, counted from 0, are probes; decided at its start."""
    return frozenset(study.user_attrs.get(PROBES, ()))


def _carried(spec: StudySpec, identity: Mapping[str, Any]) -> tuple[list[FrozenTrial], Prior | None]:
    """Trials to copy, or else what to expect."""
    if spec.warm_start is None:
        return [], None
    earlier = _earlier(spec)
    done = earlier.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    done.sort(key=lambda trial: (trial.datetime_complete, trial.number))  # an earlier study that still runs only adds
    if _comparable(earlier.user_attrs.get("identity", {}), identity):
        return [_copy(trial, spec) for trial in done], None
    return [], prior.learnt(done)


def _comparable(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Whether a value means the same in both; what was timed does not, on another day or machine."""
    parts = {*ours, "budget"} - {"owner"}
    same = all(theirs.get(part) == ours.get(part) for part in parts)
    return same and "latency_ms" not in ours["objectives"] and ours.get("budget") != "seconds"


def _copy(trial: FrozenTrial, spec: StudySpec) -> FrozenTrial:
    kept = {name: trial.user_attrs[name] for name in _KEPT if name in trial.user_attrs}
    return optuna.trial.create_trial(
        state=trial.state,
        values=trial.values,
        params=trial.params,
        distributions=trial.distributions,
        intermediate_values=trial.intermediate_values,
        user_attrs={**kept, "warm_start": f"{spec.warm_start}, trial {trial.number}"},
    )


def _earlier(spec: StudySpec) -> optuna.Study:
    directory = Path(str(spec.warm_start))
    if not (directory / SPEC_FILE).exists():
        raise StudyError(f"warm_start {directory} holds no study ({SPEC_FILE} is missing).")
    earlier = StudySpec.load(directory / SPEC_FILE)
    theirs = earlier.search_space.dimensions
    if not prior.shared(theirs, spec.search_space.dimensions):
        raise StudyError(
            f"warm_start {directory} searched nothing that this study searches: {', '.join(theirs)}. Leave it out."
        )
    try:
        return optuna.load_study(study_name=earlier.name, storage=storages.open_storage(earlier, directory))
    except KeyError:
        raise StudyError(f"The storage of warm_start {directory} holds no study {earlier.name!r}.") from None
