"""Storage -> tidy pandas frames. Everything shown or exported is computed from these."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import optuna
import pandas as pd
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial

from dashboards.frames import COLUMNS, MEASURES, PARAM, StudyFrames, blank, ranked
from explorer.results import believed, confirmed, taught
from explorer.search import belief, further, limits, prior, warm
from explorer.search.arms import study_name
from explorer.search.compute import RELATIVE, STEPS
from explorer.search.pauses import paused
from explorer.search.plan import ROLES, Role
from explorer.statistics import readings, sensitivity
from explorer.storage import storages
from explorer.study import Cost, StudySpec
from search_spaces.pairs import family
from trainables.errors import StudyError
from trainables.sources import is_ready

_NAN = float("nan")
_LONGEST = 400  # characters of a text that is shown


def load_studies(directory: Path) -> tuple[StudySpec, dict[Role, optuna.Study]]:
    """A study folder's spec and its two Optuna studies; nothing is created and nothing unpickled.

    Raises:
        StudyError: the folder holds no study, or its storage none of that name.
    """
    spec = StudySpec.of(directory)
    if not storages.exists(spec, directory):
        raise StudyError(f"{directory} holds no trials yet. Was the sweep started?")
    storage = storages.open_storage(spec, directory)
    try:
        return spec, {role: optuna.load_study(study_name=study_name(spec, role), storage=storage) for role in ROLES}
    except KeyError:
        raise StudyError(f"The storage of {directory} holds no study {spec.name!r}. Was the sweep started?") from None


def load_frames(directory: Path, *, analyse: bool = True) -> StudyFrames:
    """The frames of a study, finished or running.

    Args:
        analyse: also the statistics, which take seconds; without them, their frames are empty: see
            `sensitivity.analyse`.

    Raises:
        StudyError: see `load_studies`.
    """
    frames = frames_of(directory, *load_studies(directory))
    return sensitivity.analyse(frames) if analyse else frames


def frames_of(
    directory: Path, spec: StudySpec, studies: dict[Role, optuna.Study], *, gains: bool = True
) -> StudyFrames:
    """The frames of an opened study as it is now, without the statistics.

    Args:
        gains: also what configs are believed to gain, which takes a forest of its own; without, it is NaN.
    """
    table = trials(studies, drawn := curves(studies))
    noise, known = sensitivity.noise(table), believed.frame(studies["search"], table, gains=gains)
    ahead = believed.further_frame(studies["search"])
    return StudyFrames(
        summary=_summary(spec, studies, table, noise, known)
        | _ahead(studies["search"], ahead)
        | _earlier(studies["search"]),
        noise=noise,
        equal=spec.budget,
        believed=known,
        further=ahead,
        stop_when=spec.stop_when or None,
        cost=next((name for name in spec.objectives if name != "miou"), "parameters_millions"),
        trials=table,
        curves=drawn,
        taught=taught.frame(studies, spec.storage_path or directory),
        dimensions=_dimensions(spec),
        confirmed=confirmed.frame(spec, studies),
    )


def trials(studies: dict[Role, optuna.Study], drawn: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a trial, columns as `dashboards.frames` lists them; gains against the matched student alone.

    Args:
        drawn: the frame `curves`, where it is at hand.
    """
    costs = studies["search"].user_attrs.get("costs", {})
    rows = [_row(role, trial, costs) for role, study in studies.items() for trial in warm.own(study)]
    if not rows:
        return blank("trials")
    columns = [*COLUMNS["trials"], *sorted({name for row in rows for name in row if name.startswith(PARAM)})]
    frame = pd.DataFrame(rows).reindex(columns=columns)
    frame = frame.astype({name: kind for name, kind in COLUMNS["trials"].items() if kind != "str"})
    return _with_readings(_with_costs(_with_gains(frame)), curves(studies) if drawn is None else drawn)


def _row(role: Role, trial: FrozenTrial, costs: dict[str, dict[str, float]]) -> dict[str, Any]:
    told = {name: _shown(value) for name, value in trial.user_attrs.items()}
    student, teacher = told.get("student"), told.get("teacher")
    waits = paused(trial)
    values = _finite_values(trial)
    step = max(values, default=0)
    return {
        "number": trial.number,
        "role": role,
        "state": "PAUSED" if waits else trial.state.name,
        "reason": _shown(waits) or told.get("reason"),
        "pair": told.get("pair"),
        "teacher": teacher,
        "student": student,
        "teacher_family": family(teacher) if teacher else None,
        "student_family": family(student) if student else None,
        "method": told.get("method"),
        "seed": told.get("seed", 0),
        "budget": told.get("budget", 0),
        "steps": told.get(STEPS, told.get("budget", 0)),
        "relative_cost": _number(told.get(RELATIVE)),
        "probe": bool(told.get("probe", False)),
        "step": step,
        "miou": values.get(step, _NAN),
        "miou_low": _number(told.get("miou_low")),
        "miou_high": _number(told.get("miou_high")),
        "peer_miou": _number(told.get("peer_miou")),
        **{name: _number(costs.get(student or "", {}).get(name)) for name in get_args(Cost)},
        "seconds": _number(told.get("seconds")),
        **{PARAM + name: _shown(value) for name, value in trial.params.items()},
    }


def _finite_values(trial: FrozenTrial) -> dict[int, float]:
    return {step: value for step, value in trial.intermediate_values.items() if math.isfinite(value)}


def _number(value: Any) -> float:
    return value if isinstance(value, (int, float)) and math.isfinite(value) else _NAN


def _shown(value: Any) -> Any:
    """A storage may hold texts of any length; a page need not."""
    return value[: _LONGEST - 1] + "…" if isinstance(value, str) and len(value) > _LONGEST else value


def _with_gains(frame: pd.DataFrame) -> pd.DataFrame:
    """Match each search trial with the best complete student alone of the same student, seed and budget.

    Under collaborative, the other student likewise.
    """
    search = frame["role"] == "search"
    complete = search & (frame["state"] == "COMPLETE")
    frame["baseline"] = _alone(frame, "student").where(search)
    frame["gain"] = (frame["miou"] - frame["baseline"]).where(complete)
    frame["peer_gain"] = (frame["peer_miou"] - _alone(frame, "teacher")).where(complete)
    return frame


def _with_costs(frame: pd.DataFrame) -> pd.DataFrame:
    """What a step cost beside the student alone's, where no budget had it measured: by the seconds of whole trials.

    Seconds are those of training, evaluation left out; the median of the students alone is what it is compared with.
    """
    whole = frame["state"] == "COMPLETE"
    each = (frame["seconds"] / frame["steps"].where(frame["steps"] > 0)).where(whole)
    alone = each[frame["role"] == "baseline"].groupby(frame["student"]).median()
    alone = alone[alone > 0]
    measured = (each / frame["student"].map(alone).astype(float)).where(frame["role"] == "search")
    frame["relative_cost"] = frame["relative_cost"].fillna(measured)
    return frame


def _with_readings(frame: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """The gains at equal steps and at equal compute, whichever the study was searched at."""
    for measure in MEASURES:
        frame[f"gain_at_{measure}"] = readings.reading(frame, drawn, measure)["gain"]
    return frame


def _alone(frame: pd.DataFrame, network: str) -> pd.Series:
    """By row, the best mIoU of the model in this column alone, with the row's seed and budget."""
    key = ["student", "seed", "budget"]
    alone = frame[(frame["role"] == "baseline") & (frame["state"] == "COMPLETE")]
    best = alone.groupby(key)["miou"].max()
    matched = frame[[network, "seed", "budget"]].set_axis(key, axis=1).merge(best, on=key, how="left")
    return matched["miou"].set_axis(frame.index)


def curves(studies: dict[Role, optuna.Study]) -> pd.DataFrame:
    """The frame `curves`: every finite value that a trial reported."""
    rows = [
        (role, trial.number, step, value)
        for role, study in studies.items()
        for trial in warm.own(study)
        for step, value in sorted(_finite_values(trial).items())
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS["curves"])).astype(COLUMNS["curves"])


def _dimensions(spec: StudySpec) -> pd.DataFrame:
    """The frame `dimensions`, and the ends of each range."""
    rows = []
    for name, distribution in spec.search_space.dimensions.items():
        categorical = isinstance(distribution, CategoricalDistribution)
        kind = "categorical" if categorical else "int" if isinstance(distribution, IntDistribution) else "float"
        ends = (float(getattr(distribution, end, _NAN)) for end in ("low", "high"))
        rows.append((name, kind, not categorical and bool(getattr(distribution, "log", False)), *ends))
    table = pd.DataFrame(rows, columns=[*COLUMNS["dimensions"], "low", "high"])
    return table.astype(COLUMNS["dimensions"])


def _summary(
    spec: StudySpec,
    studies: dict[Role, optuna.Study],
    table: pd.DataFrame,
    noise: pd.DataFrame,
    known: pd.DataFrame,
) -> dict[str, str]:
    search = table[table["role"] == "search"]
    states = search["state"].value_counts()
    counts = ", ".join(f"{states[state]} {state.lower()}" for state in states.index)
    summary = {
        "study": spec.name,
        "data": str(spec.base.get("data", "earth")),
        "trials": f"{len(search)} of {spec.num_trials} ({counts})",
        "students alone": f"{int((table['role'] == 'baseline').sum())} trials",
        "seeds": ", ".join(map(str, spec.seeds)),
        **({} if spec.budget == "steps" else {"gains": f"at equal compute, in {spec.budget}"}),
        "sampler and pruner": f"{spec.sampler}, {spec.pruner}",
        "seed noise (sd of mIoU)": _noise(noise),
        "training": _span(table["seconds"].sum()),
        "from first to last trial": _span(_elapsed(studies)),
    }
    if teachers := studies["search"].user_attrs.get("teachers"):
        own = spec.trial_base.get("teacher_checkpoint")
        whose = {name: " (own weights)" if own or is_ready(name) else "" for name in teachers}
        scores = (f"{_shown(name)} {100 * score:.2f} %{whose[name]}" for name, score in teachers.items())
        summary["teachers"] = ", ".join(scores)
    if views := spec.trial_base.get("views"):
        summary["protocol"] = f"a fixed bank of {views} views an image instead of fresh crops"
    told = (trial.user_attrs.get("teacher_hits") for trial in warm.own(studies["search"]))
    if hits := [hit for hit in told if isinstance(hit, float)]:
        summary["teacher cache"] = f"answered {100 * sum(hits) / len(hits):.0f} % of the crops"
    if skipped := {str(name) for study in studies.values() for trial in warm.own(study) for name in _skipped(trial)}:
        first = _shown(min(skipped))
        summary["damaged files passed over"] = first if len(skipped) == 1 else f"{len(skipped)}, such as {first}"
    return {**summary, **_best(ranked(search[search["state"] == "COMPLETE"], known))}


def _ahead(search: optuna.Study, ahead: pd.DataFrame) -> dict[str, str]:
    """What more trials would bring, and at which limit the last driver ended."""
    told = {}
    if len(ahead):
        told[f"another {further.AHEAD} trials"] = (
            f"expected to bring {100 * ahead['expected'].iloc[-1]:.2f} points of mIoU"
        )
    if stopped := search.user_attrs.get(limits.STOPPED):
        told["stopped"] = _shown(stopped)
    return told


def _earlier(search: optuna.Study) -> dict[str, str]:
    """How far a study of another pair or data set is heeded."""
    if prior.recalled(search) is None:
        return {}
    found = belief.believed(search.get_trials(deepcopy=False))
    heed = 0.0 if found is None else found.belief.heed
    return {"earlier study": f"heeded by {100 * heed:.0f} % where configs are judged"}


def _best(done: pd.DataFrame) -> dict[str, str]:
    """The trial that is recommended, and the luckiest where that is another one."""
    if done.empty:
        return {}
    first, luckiest = done.iloc[0], done.loc[done["miou"].idxmax()]
    told = {"best trial": f"{first['number']}: {first['pair']}, mIoU {100 * first['miou']:.2f} %"}
    if pd.notna(first["believed_low"]):
        low, mean, high = (100 * first[f"believed{end}"] for end in ("_low", "", "_high"))
        told["best trial"] += f"; over seeds {mean:.2f} % (90 %: {low:.2f} to {high:.2f})"
    if luckiest["number"] != first["number"]:
        told["luckiest trial"] = (
            f"{luckiest['number']}: mIoU {100 * luckiest['miou']:.2f} %, over seeds {100 * luckiest['believed']:.2f} %"
        )
    return told


def _noise(found: pd.DataFrame) -> str:
    if found.empty:
        return "not measured: no config was repeated"
    row = found.iloc[0]
    low, high = 100 * row["low"], 100 * row["high"]
    return f"{100 * row['sd']:.2f} points (90 %: {low:.2f} to {high:.2f}; {row['freedom']:.0f} degrees of freedom)"


def _skipped(trial: FrozenTrial) -> list[Any]:
    found = trial.user_attrs.get("skipped", [])
    return found if isinstance(found, list) else []


def _elapsed(studies: dict[Role, optuna.Study]) -> float:
    every = [trial for study in studies.values() for trial in warm.own(study)]
    starts = [trial.datetime_start for trial in every if trial.datetime_start]
    ends: list[datetime] = [trial.datetime_complete for trial in every if trial.datetime_complete]
    return (max(ends) - min(starts)).total_seconds() if ends and starts else 0.0


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
