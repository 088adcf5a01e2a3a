"""Scores the weights of a confirmation's runs on a split, in Ray, each with a trial's resources."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from explorer.launch import tasks
from explorer.launch.means import Means
from explorer.results.confirmed_runs import score_key
from explorer.search.arms import trial_directory
from explorer.study import StudySpec
from trainables import own
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.errors import DataError, StudyError
from trainables.kept import checkpoint
from trainables.kept.store import open_store
from trainables.scoring.evaluate import evaluate_weights
from trainables.state import peer_weights, student_weights


def unscored(study: optuna.Study, split: str) -> list[FrozenTrial]:
    """Complete runs without a score on a split; on the validation split every run has one."""
    if split == "val":
        return []
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in done if score_key(split, trial.number) not in study.user_attrs]


def score_runs(
    study: optuna.Study, split: str, spec: StudySpec, root: str, there: Means, *, say: Callable[[str], None]
) -> None:
    """Score what is not yet scored; each score is kept when it is there, as an attribute of the study.

    Args:
        root: where the trials' folders are: a path, or a URI.

    Raises:
        StudyError: a checkpoint is gone. DataError: an image cannot be read, or none of the split is labelled.
    """
    left = {trial.number: trial for trial in unscored(study, split)}
    if left:
        say(f"scoring {len(left)} runs on {split}")
    shared = {"root": root, "split": split, "code": own.folders()}
    calls = (
        (number, {"config": run.user_attrs["config"], "directory": trial_directory("confirmed", number), **shared})
        for number, run in left.items()
    )
    options = {**there._asdict(), "max_failures": spec.max_failures, "what": "the score of run"}
    for number, found in tasks.results(scores, calls, **options):
        study.set_user_attr(score_key(split, number), found)


def scores(config: dict[str, Any], *, root: str, directory: str, split: str, code: Iterable[str]) -> dict[str, Any]:
    """miou, its interval over images and iou by class of a run's student; the same behind `peer_` of another one."""
    own.look_in(code)
    parsed = TrialConfig.parse(config)
    store = open_store(root, directory)
    found = checkpoint.latest(store, digest=parsed.digest())
    if found is None:
        raise StudyError(f"{directory} has no checkpoint in {store}. Was the folder moved or cleaned?")
    dataset = open_dataset(parsed.data)
    scored = _scored(parsed, student_weights(found[0]), dataset, split)
    if peer := peer_weights(found[0]):
        as_student = parsed.model_copy(update={"student": parsed.teacher})
        scored |= {f"peer_{name}": value for name, value in _scored(as_student, peer, dataset, split).items()}
    return scored


def _scored(config: TrialConfig, weights: dict[str, Any], dataset: SegDataset, split: str) -> dict[str, Any]:
    score = evaluate_weights(config, weights, dataset, split)
    if math.isnan(score.miou):
        raise DataError(f"No pixel of split {split!r} of {config.data!r} is labelled. Use --split val.")
    return score.named()
