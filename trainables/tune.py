"""The seam to Ray Tune: config in, metrics out. What Tune calls a trial is one call of `tune_trial` or `tune_group`.

Checkpoints are the loop's own, in the trial's folder: a restarted or adopted trial finds them there, so Tune's
checkpoint machinery (and its pickles) is not used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from ray import tune

from trainables import own
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.data.folds import parts_of
from trainables.device import pick_device
from trainables.errors import HeteroakdError, Interrupted, RankLost
from trainables.group import Answer, Member, Outcome
from trainables.kept import checkpoint
from trainables.kept.store import open_store
from trainables.preflight.look import look
from trainables.preflight.rehearsal import footprint, step_gmac, step_time, students_that_fit
from trainables.run import run_group, run_trial
from trainables.scoring.evaluate import confusion
from trainables.scoring.metrics import miou
from trainables.sources import is_ready
from trainables.state import Report
from trainables.teachers import ensure_teacher, load_teacher, refuse_unscored


def tune_trial(params: dict[str, Any], *, study_directory: str, cache: str, code: Iterable[str] = ()) -> None:
    """Train one trial and report each evaluation (the fields of `Report`) and the device.

    What a user or the training itself can cause (a damaged image, a non-finite loss) is reported as `failed` with its
    reason, since repeating it would fail again. A full disk or storage out of reach is reported as `interrupted`: it
    says nothing about the trial, which can go on later. Anything else raises, and Tune restarts the trial; so does
    `RankLost`, for one process of a trial may die as the only one may.

    Args:
        params: `config`, the fields of TrialConfig, and `directory`, relative to `study_directory`.
        study_directory: where the trials' folders are: an absolute path, or a URI (see `store.open_store`).
        cache: folder of the trained teachers.
        code: folders of the user's own modules.
    """
    own.look_in(code)
    try:
        config = TrialConfig.parse(params["config"])
        device = pick_device(config).type

        def report(found: Report) -> None:
            tune.report({**asdict(found), "device": device})

        store = open_store(study_directory, params["directory"])
        run_trial(config, dataset=_dataset(config.data), directory=store, report=report, cache=Path(cache))
    except RankLost:
        raise
    except HeteroakdError as error:
        tune.report(_why(error))


class Answers(Protocol):
    """Where the bridge's answers come from, by Tune trial and the number of the result that is answered."""

    def take(self, host: str, number: int) -> dict[str, Any]: ...


def tune_group(
    params: dict[str, Any], *, study_directory: str, cache: str, answers: Answers, code: Iterable[str] = ()
) -> None:
    """Train several trials side by side (`trainables/group.py`), what Tune calls one trial.

    Each result names its `member`, has a `number`, and is answered: {"stop": whether that member ends, "join": params
    of those that take free places}. Failures are reported as by `tune_trial`, for the member alone.

    Args:
        params: `members`, a list of what `tune_trial` takes; a member's name is its directory.
        study_directory, cache, code: as for `tune_trial`.
        answers: to the results.
    """
    own.look_in(code)
    host = _Host(study_directory, answers)
    try:
        members = host.known(params["members"])
        run_group(members, dataset=_dataset(members[0].config.data), tell=host.tell, cache=Path(cache))
    except HeteroakdError as error:  # of the teacher or the data set: of all, those included that join to hear it
        while host.open:
            host.tell(next(iter(host.open)), error, 0.0)


class _Host:
    """A group's side of the conversation with the bridge.

    Attributes:
        open: directories of the members that the bridge counts as running here.
    """

    def __init__(self, study_directory: str, answers: Answers) -> None:
        self._study_directory = study_directory
        self._answers = answers
        self._id = str(tune.get_context().get_trial_id())
        self._number = 0
        self._device = ""
        self.open: dict[str, None] = {}

    def known(self, listed: Iterable[dict[str, Any]]) -> list[Member]:
        listed = list(listed)
        self.open |= dict.fromkeys(params["directory"] for params in listed)
        return [self._member(params) for params in listed]

    def _member(self, params: dict[str, Any]) -> Member:
        config = TrialConfig.parse(params["config"])
        self._device = self._device or pick_device(config).type
        return Member(params["directory"], config, open_store(self._study_directory, params["directory"]))

    def tell(self, name: str, outcome: Outcome, seconds: float) -> Answer:
        """Report and wait for the answer."""
        self._number += 1
        said = asdict(outcome) | {"device": self._device} if isinstance(outcome, Report) else _why(outcome)
        tune.report({**said, "member": name, "number": self._number, "occupied_s": seconds})
        answer = self._answers.take(self._id, self._number)
        if answer["stop"]:
            self.open.pop(name, None)
        return Answer(answer["stop"], tuple(self.known(answer["join"])))


def _why(error: HeteroakdError) -> dict[str, Any]:
    """A result that ends a trial: repeating it would fail again, or something else is out of order."""
    kind = "interrupted" if isinstance(error, Interrupted) else "failed"
    return {"step": 0, "miou": float("nan"), kind: str(error)}


@lru_cache(maxsize=1)
def _dataset(name: str) -> SegDataset:
    """A reused worker keeps the set it has opened: decoded images and content hash, nothing that a trial can change."""
    return open_dataset(name)


def group_that_fits(configs: list[dict[str, Any]], *, share: float, most: int, code: Iterable[str] = ()) -> int:
    """Students of a group that this machine's memory holds, 1 to `most`, whatever kinds of trials meet in it.

    Args:
        configs: one of each kind.
        share: of the memory, that a group may take.
    """
    own.look_in(code)
    kinds = [TrialConfig.parse(values) for values in configs]
    dataset = open_dataset(kinds[0].data)
    try:
        found = [footprint(config, dataset=dataset) for config in kinds]
    except torch.OutOfMemoryError:  # the trials of that kind will say so, and the others run
        return 1
    return students_that_fit(found, pick_device(kinds[0]), share=share, most=most)


def step_costs(configs: dict[str, dict[str, Any]], *, unit: str, code: Iterable[str] = ()) -> dict[str, float]:
    """What a training step of each kind of trial costs on this machine, its teacher's forward included whole.

    Args:
        configs: one of each kind.
        unit: seconds (the median of a few steps) or gmac.
    """
    own.look_in(code)
    kinds = {name: TrialConfig.parse(values) for name, values in configs.items()}
    dataset = open_dataset(next(iter(kinds.values())).data)
    if unit == "gmac":
        return {name: step_gmac(config, dataset=dataset) for name, config in kinds.items()}
    return {name: step_time(config, dataset=dataset).seconds for name, config in kinds.items()}


def score_teacher(config: dict[str, Any], *, code: Iterable[str] = ()) -> dict[str, float]:
    """How a user's own teacher does on the validation split, as students are scored.

    Returns:
        miou: its own; majority: of always saying the split's commonest class. NaN where no pixel is labelled. logits:
        whether it gives any; without, there is nothing to score.

    Raises:
        TeacherError: the file does not hold this network's weights.
    """
    own.look_in(code)
    trial = TrialConfig.parse(config)
    torch.set_num_threads(trial.num_threads)
    dataset = open_dataset(trial.data)
    if is_ready(trial.teacher):
        facts = look(trial, dataset)
        score = facts.scores[trial.eval_mode]["miou"] if facts.logits else math.nan
        return {"miou": score, "majority": facts.majority, "logits": facts.logits}
    found = confusion(load_teacher(trial, dataset=dataset), dataset, "val", trial)
    return {"miou": miou(found.iou()), "majority": miou(found.majority_iou()), "logits": True}


def train_teacher(config: dict[str, Any], *, cache: str, fold: int | None = None, code: Iterable[str] = ()) -> float:
    """Make sure the cache holds a trial's teacher; its validation mIoU.

    Args:
        fold: which one's teacher, from 0, where the trial has folds.

    Raises:
        TeacherError: it has none.
    """
    own.look_in(code)
    trial = TrialConfig.parse(config)
    dataset = open_dataset(trial.data)
    if fold is not None:
        dataset = parts_of(dataset, trial)[fold]
    path = ensure_teacher(trial, dataset=dataset, cache=Path(cache))
    miou = float(checkpoint.load(path)[1]["miou"])
    refuse_unscored(trial.teacher, miou, dataset)  # of an older release's cache
    return miou
