"""The runs of a confirmation, read from the storage: a study of its own, NAME (confirmed), beside the sweep's two.

Each of its trials is a config of the sweep, a finalist or a matched student alone, on a fresh seed. The study's
attributes say which configs those are (`FINALISTS`, `ALONE`), what was asked for (`ASKED`), and what each run's weights
score on another split than the validation split (`score_key`): Optuna closes a trial to attributes when it ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from explorer.search.arms import study_name
from explorer.study import StudySpec

FINALISTS, ALONE, ASKED = "finalists", "alone", "asked"
"""Attributes of the study: {config key: its trials of the search}, {student: key of its best config alone}, and the
last request, {top, seeds, split}."""
KEY, PART, SOURCES = "key", "part", "sources"
"""Attributes of a run: content hash of its config but the seed; finalist or alone; the trials of the sweep it is of."""


@dataclass(frozen=True)
class Run:
    """A config on a fresh seed, complete.

    Attributes:
        number: of the trial in its study.
        val: mIoU on the validation split, as recorded when it ended.
        score: mIoU on the split that was asked for; None: not scored yet.
        images: 90 % interval of that score over images; None: not scored yet, or by a release that had none.
        peer: the other student's score there, under collaborative.
    """

    number: int
    seed: int
    val: float
    score: float | None
    images: tuple[float, float] | None
    peer: float | None
    config: dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A config that is confirmed.

    Attributes:
        sources: trials of the sweep with this config, whatever their seed.
        about: attributes that all its runs share, such as student, pair and method; foreign ones may be anything.
        runs: the complete ones, by seed.
        num_failed: seeds on which it ended otherwise, and is not being tried again.
    """

    key: str
    sources: list[int]
    about: dict[str, Any]
    runs: list[Run] = field(default_factory=list)
    num_failed: int = 0

    @property
    def scores(self) -> dict[int, float]:
        """By seed."""
        return {run.seed: run.score for run in self.runs if run.score is not None}


def open_confirmed(spec: StudySpec, storage: BaseStorage) -> optuna.Study | None:
    """None where nothing was ever confirmed, or another sweep of the name did."""
    try:
        study = optuna.load_study(study_name=study_name(spec, "confirmed"), storage=storage)
    except KeyError:
        return None
    return study if owner_of(study) == spec.owner else None


def owner_of(study: optuna.Study) -> object:
    identity = study.user_attrs.get("identity")
    return identity.get("owner") if isinstance(identity, dict) else None


def split_of(study: optuna.Study) -> str:
    """The split that the last request asked for."""
    asked = study.user_attrs.get(ASKED)
    return str(asked.get("split", "val")) if isinstance(asked, dict) else "val"


def score_key(split: str, number: int) -> str:
    """The study's attribute with a run's {miou, miou_low, miou_high, iou} on a split; another student's: `peer_...`."""
    return f"score {split} {number}"


def finalists(study: optuna.Study, seeds_seen: set[int]) -> list[Entry]:
    """The configs whose search score put them here, in the order in which they were asked for.

    Args:
        seeds_seen: by the search; a run with one of them is not fresh and is left out.
    """
    known, every = study.user_attrs.get(FINALISTS), _entries(study, seeds_seen)
    if not isinstance(known, dict):
        return []
    return [replace(every[key], sources=found) for key in known if key in every and (found := _numbers(known[key]))]


def alone(study: optuna.Study, student: object, seeds_seen: set[int]) -> Entry | None:
    """The matched student alone: its best config without a teacher."""
    known = study.user_attrs.get(ALONE)
    return _entries(study, seeds_seen).get(str(known.get(student))) if isinstance(known, dict) else None


def num_open(study: optuna.Study) -> int:
    """Runs that have not ended, or are complete and not scored on the split that was asked for."""
    split, attributes = split_of(study), study.user_attrs
    return sum(
        trial.state in (TrialState.WAITING, TrialState.RUNNING)
        or (trial.state == TrialState.COMPLETE and _score(trial, split, attributes, "miou") is None)
        for trial in study.get_trials(deepcopy=False)
    )


def _entries(study: optuna.Study, seeds_seen: set[int]) -> dict[str, Entry]:
    """Every config with a run that was begun, by its key."""
    groups: dict[str, list[FrozenTrial]] = {}
    for trial in study.get_trials(deepcopy=False):
        told = trial.user_attrs
        if isinstance(told.get(KEY), str) and type(told.get("seed")) is int and told["seed"] not in seeds_seen:
            groups.setdefault(told[KEY], []).append(trial)
    return {key: _entry(key, trials, study) for key, trials in groups.items()}


def _entry(key: str, trials: list[FrozenTrial], study: optuna.Study) -> Entry:
    split, attributes = split_of(study), study.user_attrs
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE and _finite(trial.values[0])]
    going = [trial for trial in trials if not trial.state.is_finished()]
    failed = {trial.user_attrs["seed"] for trial in trials} - {trial.user_attrs["seed"] for trial in (*done, *going)}
    about = trials[0].user_attrs
    return Entry(key, _numbers(about.get(SOURCES)), about, [_run(t, split, attributes) for t in done], len(failed))


def _run(trial: FrozenTrial, split: str, attributes: dict[str, Any]) -> Run:
    config = trial.user_attrs.get("config")
    return Run(
        trial.number,
        trial.user_attrs["seed"],
        val=trial.values[0],
        score=_score(trial, split, attributes, "miou"),
        images=_images(trial, split, attributes),
        peer=_score(trial, split, attributes, "peer_miou"),
        config=config if isinstance(config, dict) else {},
    )


def _images(trial: FrozenTrial, split: str, attributes: dict[str, Any]) -> tuple[float, float] | None:
    low, high = (_score(trial, split, attributes, name) for name in ("miou_low", "miou_high"))
    return None if low is None or high is None else (low, high)


def _score(trial: FrozenTrial, split: str, attributes: dict[str, Any], name: str) -> float | None:
    """A run's miou, peer_miou or an end of its interval on a split; that of val was recorded with the run."""
    if split == "val":
        value = trial.values[0] if name == "miou" else trial.user_attrs.get(name)
    else:
        scored = attributes.get(score_key(split, trial.number))
        value = scored.get(name) if isinstance(scored, dict) else None
    return float(value) if _finite(value) else None


def _finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _numbers(values: Any) -> list[int]:
    return [value for value in values if type(value) is int and value >= 0] if isinstance(values, list) else []
