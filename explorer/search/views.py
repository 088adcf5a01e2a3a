"""What a pruner or a sampler may see of a study: the storage behind a filter, since both read it by themselves.

A pruner sees the trials of the same student only, and one objective, mIoU: across students, mIoU says which network is
larger, not which distillation is better; compared with all, every trial of the smaller student would be pruned and its
pair never measured. A sampler for several objectives sees no pruned trial: its scores are not final, so it is on no
front, and Optuna's samplers cannot rank it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from explorer.search.reasons import why

PEERS = "student"  # the trial attribute that makes two trials comparable
PRUNED_AT = "pruned_at"
"""Trial attribute: {"step": of the verdict, "because": why}; one write, so that neither is ever without the other."""


class PeerPruner(BasePruner):
    """Wraps any Optuna pruner and shows it only mIoU, and only the trial's peers.

    What the pruner notes about the trial (successive halving notes each rung that it has judged) is written when its
    verdict is, and a death sentence before all: else a driver that dies in between would leave a rung that is judged
    and a trial that goes on.
    """

    def __init__(self, wrapped: BasePruner) -> None:
        self._wrapped = wrapped

    @property
    def pauses(self) -> tuple[int, int]:
        """How many of a search's first trials may pause, and how many whole ones end that (`pauses.py`)."""
        return int(getattr(self._wrapped, "pauses", 0)), int(getattr(self._wrapped, "num_whole", 0))

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        sentenced = _step(trial.user_attrs.get(PRUNED_AT)) == trial.last_step
        seen = _PeerStorage(study._storage, trial.user_attrs.get(PEERS))
        shown = _seen_through(study, seen, pruner=self._wrapped)
        verdict = self._wrapped.prune(shown, trial) or sentenced
        if verdict and not sentenced:
            because = why(self._wrapped, shown, trial, {key: value for _, key, value in seen.notes})
            sentence = {"step": trial.last_step, "because": because}
            study._storage.set_trial_user_attr(trial._trial_id, PRUNED_AT, sentence)
        for note in seen.notes:
            study._storage.set_trial_system_attr(*note)
        return verdict


def because(study: optuna.Study, trial: optuna.Trial) -> str | None:
    """Why a trial was sentenced; None: it was not, or by an earlier version, which did not say."""
    told = study._storage.get_trial(trial._trial_id).user_attrs.get(PRUNED_AT)  # a Trial's own are a copy
    return told.get("because") if isinstance(told, dict) else None


def _step(told: Any) -> Any:
    """Earlier versions wrote the step alone."""
    return told.get("step") if isinstance(told, dict) else told


class FrontSampler(BaseSampler):
    """Wraps any Optuna sampler and hides pruned trials from it."""

    def __init__(self, wrapped: BaseSampler) -> None:
        self._wrapped = wrapped

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._wrapped.infer_relative_search_space(_unpruned(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._wrapped.sample_relative(_unpruned(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._wrapped.sample_independent(_unpruned(study), trial, param_name, param_distribution)


def _delegate(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._storage, name)(*args, **kwargs)

    return method


def _over(self: Any, storage: BaseStorage) -> None:
    self._storage = storage


_Delegating: Any = type(
    "_Delegating",
    (BaseStorage,),
    {"__init__": _over, **{name: _delegate(name) for name in BaseStorage.__abstractmethods__}},
)


class _PeerStorage(_Delegating):  # type: ignore[misc]
    def __init__(self, storage: BaseStorage, peers: object) -> None:
        super().__init__(storage)
        self._peers = peers
        self.notes: list[tuple[int, str, Any]] = []

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.notes.append((trial_id, key, value))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._storage.get_study_directions(study_id)[:1]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = self._storage.get_all_trials(study_id, deepcopy=deepcopy, states=states)
        return [trial for trial in trials if trial.user_attrs.get(PEERS) == self._peers]


class _UnprunedStorage(_Delegating):  # type: ignore[misc]
    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = self._storage.get_all_trials(study_id, deepcopy=deepcopy, states=states)
        return [trial for trial in trials if trial.state != TrialState.PRUNED]


class TrialsView(_Delegating):  # type: ignore[misc]
    """A storage that shows these trials of a study, as they are given."""

    def __init__(self, storage: BaseStorage, trials: Sequence[FrozenTrial]) -> None:
        super().__init__(storage)
        self._trials = list(trials)

    def get_all_trials(
        self,
        study_id: int,  # noqa: ARG002
        deepcopy: bool = True,  # noqa: ARG002
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]


class _OnceStorage(_Delegating):  # type: ignore[misc]
    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        if param_name not in self._storage.get_trial(trial_id).params:
            self._storage.set_trial_param(trial_id, param_name, param_value_internal, distribution)


class _DryStorage(_Delegating):  # type: ignore[misc]
    def set_trial_param(self, *_: Any) -> None:
        pass


def reborn(study: optuna.Study, trial: FrozenTrial) -> optuna.Trial:
    """A trial that its driver left half described: every parameter is drawn again, those already stored included.

    A sampler that is seeded by the trial's number draws what it drew then, so nothing stored is contradicted.
    """
    return _drawn_anew(study, trial._trial_id, _OnceStorage(study._storage))


def dry(study: optuna.Study, trial: optuna.Trial) -> optuna.Trial:
    """A trial whose parameters are drawn for it and not written."""
    return _drawn_anew(study, trial._trial_id, _DryStorage(study._storage))


def _drawn_anew(study: optuna.Study, trial_id: int, storage: Any) -> optuna.Trial:
    """The trial as if it had no parameter yet."""
    again = optuna.Trial(_seen_through(study, storage), trial_id)
    again._cached_frozen_trial.params, again._cached_frozen_trial.distributions = {}, {}
    return again


def _unpruned(study: optuna.Study) -> optuna.Study:
    return _seen_through(study, _UnprunedStorage(study._storage))


def _seen_through(study: optuna.Study, storage: Any, *, pruner: BasePruner | None = None) -> optuna.Study:
    return optuna.load_study(
        study_name=study.study_name, storage=storage, sampler=study.sampler, pruner=pruner or study.pruner
    )
