"""Prune like against like: a trial is compared with the trials of the same student only.

Across students, mIoU says which network is larger, not which distillation is better; compared with all, every trial of
the smaller student would be pruned and its pair never measured.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

PEERS = "student"  # the trial attribute that makes two trials comparable


class PeerPruner(BasePruner):
    """Wraps any Optuna pruner and shows it only the trial's peers."""

    def __init__(self, wrapped: BasePruner) -> None:
        self._wrapped = wrapped

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        view = _PeerStorage(study._storage, trial.user_attrs.get(PEERS))
        peers = optuna.load_study(
            study_name=study.study_name, storage=view, sampler=study.sampler, pruner=self._wrapped
        )
        return self._wrapped.prune(peers, trial)


def _delegate(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._storage, name)(*args, **kwargs)

    return method


_Delegating: Any = type(
    "_Delegating", (BaseStorage,), {name: _delegate(name) for name in BaseStorage.__abstractmethods__}
)


class _PeerStorage(_Delegating):  # type: ignore[misc]
    """A storage seen through a filter, because pruners such as Hyperband make their own study from the storage."""

    def __init__(self, storage: BaseStorage, peers: object) -> None:
        self._storage = storage
        self._peers = peers

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = self._storage.get_all_trials(study_id, deepcopy=deepcopy, states=states)
        return [trial for trial in trials if trial.user_attrs.get(PEERS) == self._peers]
