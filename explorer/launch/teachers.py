"""The teachers before the first trial: trained where the cache lacks them; a user's own are scored, and looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from statistics import fmean
from typing import Any, NamedTuple

from explorer.launch import tasks
from explorer.launch.means import Means
from explorer.study import StudySpec
from trainables import own
from trainables.config import TrialConfig
from trainables.errors import TeacherError
from trainables.kept.cache import default_cache
from trainables.tune import score_teacher, train_teacher

Say = Callable[[str], None]


def score_own(
    spec: StudySpec, configs: Iterable[TrialConfig], there: Means, *, say: Say, force: bool
) -> dict[str, float]:
    """Score the teachers whose weights the user gave, on the validation split.

    Args:
        configs: one for each teacher that a trial may have.
        force: one that is worse than guessing is no reason to stop.

    Returns:
        mIoU in [0, 1] by model name.

    Raises:
        TeacherError: one scores below what always saying the split's commonest class does.
    """
    teachers = {name: config for name, config in _teachers(configs).items() if not config.trains_teacher}
    calls = ((name, {"config": _values(config), "code": own.folders()}) for name, config in teachers.items())
    scores: dict[str, float] = {}
    for name, found in tasks.results(score_teacher, calls, **_options(spec, there)):
        if not found["logits"]:
            say(f"teacher {name}: features and no logits, so it has no mIoU")
            continue
        scores[name] = found["miou"]
        file, least = teachers[name].teacher_checkpoint, found["majority"]
        of = f" of {file}" if file else ""
        told = f"mIoU {100 * found['miou']:.2f} % on val"
        if not found["miou"] >= least and not force:
            raise TeacherError(
                f"The teacher {name!r}{of} has {told}, below the {100 * least:.2f} % of always saying its "
                "commonest class. Are its classes in this order, and its weights those of this data set? Give others, "
                "or go on all the same with --force (force=True)."
            )
        say(f"teacher {name}: {told}{f', of {file}' if file else ''} (always the commonest class: {100 * least:.2f} %)")
    return scores


def ensure(
    spec: StudySpec, configs: Iterable[TrialConfig], there: Means, *, say: Say, known: Mapping[str, float]
) -> dict[str, float]:
    """Train the teachers that the cache lacks, side by side, so that no trial holds its resources waiting for one.

    Args:
        configs: as for `score_own`.
        known: the scores of the user's own, as far as they were scored; the rest are scored now.

    Returns:
        mIoU on the validation split, in [0, 1], by model name; the mean over folds where there are some.
    """
    teachers = _teachers(configs)
    given = [config for name, config in teachers.items() if not config.trains_teacher and name not in known]
    scores = dict(known) | score_own(spec, given, there, say=say, force=True)  # the study has begun with them

    def calls() -> Iterator[tuple[_Wanted, dict[str, Any]]]:
        for name, config in teachers.items():
            for one in _wanted(name, config) if config.trains_teacher else ():
                say(f"teacher {one}: {config.teacher_recipe.steps} steps, or from the cache")
                shared = {"cache": str(default_cache()), "code": own.folders()}
                yield one, {"config": _values(config), "fold": one.fold, **shared}

    found: dict[str, list[float]] = {}
    for one, score in tasks.results(train_teacher, calls(), **_options(spec, there)):
        found.setdefault(one.name, []).append(float(score))
        say(f"teacher {one}: mIoU {100 * float(score):.2f} %")
    return scores | {name: fmean(sorted(of_folds)) for name, of_folds in found.items()}


class _Wanted(NamedTuple):
    """A teacher that is trained; under `folds`, one of each fold."""

    name: str
    fold: int | None = None
    folds: int | None = None

    def __str__(self) -> str:
        return self.name if self.fold is None else f"{self.name}, fold {self.fold + 1} of {self.folds}"


def _wanted(name: str, config: TrialConfig) -> list[_Wanted]:
    if config.folds is None:
        return [_Wanted(name)]
    return [_Wanted(name, fold, config.folds) for fold in range(config.folds)]


def _teachers(configs: Iterable[TrialConfig]) -> dict[str, TrialConfig]:
    return {config.teacher: config for config in configs if config.is_taught}


def _values(config: TrialConfig) -> dict[str, Any]:
    return config.model_dump(mode="json")


def _options(spec: StudySpec, there: Means) -> dict[str, Any]:
    return {**there._asdict(), "max_failures": spec.max_failures, "what": "teacher"}
