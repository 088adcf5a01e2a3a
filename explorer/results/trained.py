"""A trained trial out of a study's folder: its config, the data it ran on and its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import optuna

from explorer.search.arms import trial_directory
from explorer.search.plan import Role
from explorer.study import StudySpec
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.errors import CheckpointError, StudyError
from trainables.kept import checkpoint
from trainables.kept.store import open_store
from trainables.state import peer_weights, student_weights

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class Trained(NamedTuple):
    """Attributes:
    learnt: all of its last checkpoint, tensors by name.
    """

    trial: FrozenTrial
    config: TrialConfig
    dataset: SegDataset
    learnt: dict[str, Any]

    @property
    def student(self) -> dict[str, Any]:
        """Its weights."""
        return student_weights(self.learnt)

    @property
    def peer(self) -> dict[str, Any]:
        """Of the other student; empty where there was none."""
        return peer_weights(self.learnt)


def teacher_caches(directory: Path) -> tuple[Path | None, ...]:
    """Where teachers that were trained for a study may be: the user's folder, and that of a sweep on a cluster."""
    return None, directory.resolve().parent / "teachers"


def load(
    spec: StudySpec, directory: Path, studies: dict[Role, optuna.Study], number: int, *, role: Role = "search"
) -> Trained:
    """The last whole checkpoint of a trial.

    Raises:
        StudyError: no such trial, one of several folds, its checkpoint is gone or another's, or the data set changed.
        HeteroakdError: its config or data set is no longer understood.
    """
    every = studies[role].get_trials(deepcopy=False)
    if not 0 <= number < len(every) or "config" not in every[number].user_attrs:
        raise StudyError(f"{directory} holds no {role} trial {number}. `heteroakd dashboard` lists those it has.")
    trial = every[number]
    config = TrialConfig.parse(trial.user_attrs["config"])
    if config.folds is not None:
        raise StudyError(
            f"Trial {number} of the {role} is {config.folds} students, one a fold, and none of them stands for it. "
            f"`heteroakd confirm {directory}` trains its config on the whole training split, which can be shipped."
        )
    dataset = open_dataset(config.data)
    if dataset.digest() != studies["search"].user_attrs.get("identity", {}).get("data"):
        raise StudyError(f"The data set {config.data!r} has changed since the sweep. This needs the one it ran on.")
    store = open_store(spec.storage_path or directory, trial_directory(role, number))
    try:
        found = checkpoint.latest(store, digest=config.digest())
    except CheckpointError:
        why = "it was trained with another version of heteroakd, or the folder was mixed with another study's"
        raise StudyError(f"The checkpoint in {store} is not of trial {number} of the {role}: {why}.") from None
    if found is None:
        why = "only complete ones keep theirs" if trial.state.name == "PRUNED" else "was the folder moved or cleaned?"
        raise StudyError(f"Trial {number} of the {role} has no checkpoint in {store}: {why}")
    return Trained(trial, config, dataset, found[0])
