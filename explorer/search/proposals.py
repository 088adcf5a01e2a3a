"""The sampler `belief`: TPE behind a view of the study in which luck is taken off.

The first trials are points of a scrambled Sobol sequence. Later ones come from Optuna's TPE, which is shown of each
config the posterior mean instead of the score that it had, of a stopped trial the final that is predicted for it, and
lists of numbers as ordered levels. It sees no repeat: a config stands for itself once. Configs of an earlier study of
another pair or data set are shown with what this study's belief expects of them, once it is heeded.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc

from explorer.search import belief, prior
from explorer.search.belief import Believed
from explorer.search.pauses import is_paused
from explorer.search.repeats import REPEATS
from explorer.search.views import TrialsView

_STARTUP = 4  # whole trials without which TPE draws at random
_DIMENSIONS = 64  # of the Sobol sequence; further ones begin again


class BeliefSampler(BaseSampler):
    """See the module.

    A proposal is a function of the seeds, the trial's number and the study's trials: nothing is remembered.
    """

    def __init__(
        self, seed: int | None = None, sobol_seed: int = 0, num_sobol: int = 8, n_ei_candidates: int = 24
    ) -> None:
        """Args:
        seed: of TPE.
        sobol_seed: of the sequence, which all trials share; num_sobol: its length, a trial's number is its place.
        """
        self._sobol_seed, self._num_sobol = sobol_seed, num_sobol
        self._tpe = TPESampler(
            seed=seed, multivariate=True, group=True, n_startup_trials=_STARTUP, n_ei_candidates=n_ei_candidates
        )
        self._seen: tuple[int, optuna.Study, dict[str, BaseDistribution]] | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        self._seen = None
        if trial.number < self._num_sobol:
            return {}
        view, kinds = self._view(study, trial)
        return {name: kinds[name] for name in self._tpe.infer_relative_search_space(view, trial)}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        view, _ = self._view(study, trial)
        levels = {name: _as_levels(kind) for name, kind in search_space.items()}
        found = self._tpe.sample_relative(view, trial, levels)
        return {name: _as_choice(search_space[name], value) for name, value in found.items()}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if trial.number < self._num_sobol:
            return self._sobol(trial, param_distribution)
        view, _ = self._view(study, trial)
        found = self._tpe.sample_independent(view, trial, param_name, _as_levels(param_distribution))
        return _as_choice(param_distribution, found)

    def _sobol(self, trial: FrozenTrial, kind: BaseDistribution) -> Any:
        place = len(trial.params) % _DIMENSIONS
        sequence = qmc.Sobol(_DIMENSIONS, scramble=True, rng=np.random.default_rng(self._sobol_seed))
        unit = float(sequence.random(1 << max(self._num_sobol - 1, 1).bit_length())[trial.number, place])
        return _at(kind, unit)

    def _view(self, study: optuna.Study, trial: FrozenTrial) -> tuple[optuna.Study, dict[str, BaseDistribution]]:
        if self._seen is None or self._seen[0] != trial.number:
            trials = [one for one in study.get_trials(deepcopy=False) if one.number != trial.number]
            kinds = {name: kind for one in trials for name, kind in one.distributions.items()}
            found = belief.believed(trials)
            shown = [*_earlier(study, trials, kinds), *(_shown(one, found) for one in _once(trials))]
            view = optuna.load_study(
                study_name=study.study_name, storage=TrialsView(study._storage, shown), sampler=self._tpe
            )
            self._seen = trial.number, view, kinds
        return self._seen[1], self._seen[2]


def _earlier(
    study: optuna.Study, trials: list[FrozenTrial], kinds: dict[str, BaseDistribution]
) -> Iterator[FrozenTrial]:
    """Configs of an earlier study with what is expected of them here, if that study is heeded; as TPE sees them."""
    known = prior.recalled(study)
    others = [] if known is None else known.trials(kinds)
    found = belief.believed([*trials, *others]) if others else None
    if found is None or not found.belief.heed:
        return
    for one in others[: round(found.belief.heed * len(others))]:  # the best first
        if not found.knows(one):
            told = _shown(one, None)
            told.state, told._values = TrialState.COMPLETE, [found.expects(one)]
            yield told


def _once(trials: Iterable[FrozenTrial]) -> Iterator[FrozenTrial]:
    """Without repeats."""
    whole: set[str] = set()
    for trial in trials:
        config = belief.key(trial.params)
        if REPEATS in trial.user_attrs or (trial.state == TrialState.COMPLETE and config in whole):
            continue
        if trial.state == TrialState.COMPLETE:
            whole.add(config)
        yield trial


def _shown(trial: FrozenTrial, found: Believed | None) -> FrozenTrial:
    """As TPE sees it."""
    shown = copy.copy(trial)
    shown._params = {name: _level(trial.distributions[name], value) for name, value in trial.params.items()}
    shown._distributions = {name: _as_levels(kind) for name, kind in trial.distributions.items()}
    if is_paused(trial):
        shown.state = TrialState.PRUNED  # it is no more under way than one that was stopped
    if found is None:
        return shown
    if trial.state == TrialState.COMPLETE:
        shown._values = [found.mean(trial)]
    elif shown.state == TrialState.PRUNED and (outlook := found.outlook(trial)) is not None:
        shown.state, shown._values = TrialState.COMPLETE, [outlook.mean]
    return shown


def _as_levels(kind: BaseDistribution) -> BaseDistribution:
    levels = belief.ordered(kind)
    return kind if levels is None else IntDistribution(0, len(levels) - 1)


def _level(kind: BaseDistribution, value: Any) -> Any:
    levels = belief.ordered(kind)
    return value if levels is None else levels.index(value)


def _as_choice(kind: BaseDistribution, value: Any) -> Any:
    levels = belief.ordered(kind)
    return value if levels is None else levels[value]


def _at(kind: BaseDistribution, unit: float) -> Any:
    """The value at a place in [0, 1) of a dimension."""
    if isinstance(kind, CategoricalDistribution):
        return kind.choices[int(unit * len(kind.choices))]
    number: Any = kind
    if isinstance(kind, IntDistribution) and not kind.log:
        return kind.low + kind.step * int(unit * ((kind.high - kind.low) // kind.step + 1))
    low, high = np.log([number.low, number.high]) if number.log else (number.low, number.high)
    value = float(low + unit * (high - low))
    value = float(np.clip(np.exp(value) if number.log else value, number.low, number.high))
    if isinstance(kind, IntDistribution):
        return round(value)
    return value if number.step is None else number.low + number.step * round((value - number.low) / number.step)
