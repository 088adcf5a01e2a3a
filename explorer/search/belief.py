"""The belief about each config of a study, from its trials: `explorer.statistics.belief` over Optuna's trials."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from explorer.statistics import belief
from explorer.statistics.belief import Belief, Line, Outlook

EXPECTED = "expected"
"""Trial attribute: what an earlier study of another pair or data set expects of its config (`prior.py`)."""
_ABSENT = -1.0  # numbers lie in [0, 1]


def key(params: Mapping[str, Any]) -> str:
    """The config, whatever its seed."""
    return json.dumps(params, sort_keys=True, default=str)


@dataclass(frozen=True)
class Believed:
    """What is believed after these trials.

    Attributes:
        places: config's key -> its place in the belief's arrays.
        whole: trials that were trained whole.
        rows: config's key -> its features, those of other trials too.
        seed: of the forest.
        told: config's key -> what an earlier study expects of it; empty: there is none.
    """

    belief: Belief
    places: Mapping[str, int]
    whole: Sequence[FrozenTrial]
    rows: Mapping[str, np.ndarray]
    seed: int
    told: Mapping[str, float] = field(default_factory=dict)
    _lines: dict[int, Line | None] = field(default_factory=dict)

    def mean(self, trial: FrozenTrial) -> float:
        """Of a whole trial's config."""
        return float(self.belief.mean[self.places[key(trial.params)]])

    def sd(self, trial: FrozenTrial) -> float:
        """Of that mean."""
        return float(self.belief.sd[self.places[key(trial.params)]])

    def knows(self, trial: FrozenTrial) -> bool:
        """Whether its config was trained whole."""
        return key(trial.params) in self.places

    @cached_property
    def _expected(self) -> dict[str, float]:
        """Config's key -> what the forest says that has not seen its score."""
        own, rest = self.belief.own, [name for name in self.rows if name not in self.places]
        known = {name: float(self.belief.forest[place]) for name, place in self.places.items()}
        if not rest or len(own) < belief.FEW:
            return {**known, **dict.fromkeys(rest, float(own.mean()))}
        said = self._said(rest, self.rows)
        if heed := self.belief.heed:
            wiser = {name: belief.beside(row[None], np.array([self.told[name]]))[0] for name, row in self.rows.items()}
            said = said + heed * (self._said(rest, wiser) - said)
        return {**known, **dict(zip(rest, said.tolist(), strict=True))}

    def _said(self, names: Sequence[str], rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """By a forest over these rows, of configs that are not whole."""
        known, own = np.stack([rows[name] for name in self.places]), self.belief.own
        first = belief.fitted_on(len(own))
        forest = belief.grown(known[:first].tobytes(), known.shape[1], own[:first].tobytes(), self.seed)
        return forest.predict(np.stack([rows[name] for name in names]))

    def expects(self, trial: FrozenTrial) -> float:
        """What the forest says of a trial's config, whole or not."""
        return self._expected[key(trial.params)]

    def outlook(self, trial: FrozenTrial) -> Outlook | None:
        """What the final of a trial may be, by its last report; None while fewer than eight whole trials tell."""
        if (step := trial.last_step) is None or (line := self._line(step)) is None:
            return None
        return line.at(trial.intermediate_values[step], self._expected[key(trial.params)])

    def _line(self, step: int) -> Line | None:
        if step not in self._lines:
            known = [one for one in self.whole if step in one.intermediate_values]
            self._lines[step] = belief.line(
                np.array([one.intermediate_values[step] for one in known]),
                np.array([self._expected[key(one.params)] for one in known]),
                np.array([one.values[0] for one in known]),
            )
        return self._lines[step]

    def runs(self, trial: FrozenTrial) -> int:
        """Seeds on which a whole trial's config was trained whole."""
        return int(self.belief.runs[self.places[key(trial.params)]])

    def ranked(self) -> list[FrozenTrial]:
        """The first whole trial of each config, the highest posterior mean first."""
        first: dict[int, FrozenTrial] = {}
        for trial in self.whole:
            first.setdefault(self.places[key(trial.params)], trial)
        order = np.argsort(-self.belief.mean, kind="stable")
        return [first[int(place)] for place in order]


def believed(
    trials: Sequence[FrozenTrial],
    *,
    seed: int = 0,
    score: Callable[[FrozenTrial], float] = lambda trial: float(trial.values[0]),
    assumed: float = belief.ASSUMED,
) -> Believed | None:
    """The belief after these trials; None while none is whole.

    Args:
        trials: of a study, in any state.
        score: of a whole trial.
        assumed: see `explorer.statistics.belief.believe`.
    """
    whole = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not whole:
        return None
    by_seed: dict[str, dict[Any, float]] = {}
    for trial in whole:
        by_seed.setdefault(key(trial.params), {}).setdefault(trial.user_attrs.get("seed"), score(trial))
    scores = {name: list(values.values()) for name, values in by_seed.items()}
    known = {key(trial.params): trial for trial in reversed(whole)}
    others = {key(trial.params): trial for trial in trials if trial.params and key(trial.params) not in scores}
    every = [*(known[name] for name in scores), *others.values()]
    rows = dict(zip((*scores, *others), _encoded(every), strict=True))
    own = np.array([np.mean(values) for values in scores.values()])
    runs = np.array([len(values) for values in scores.values()])
    within = sum(float(((np.array(values) - np.mean(values)) ** 2).sum()) for values in scores.values())
    features, told = np.stack([rows[name] for name in scores]), _told(every)
    heard = None if told is None else told[: len(scores)]
    found = belief.believe(features, own, runs, within=within, seed=seed, assumed=assumed, told=heard)
    hearsay = {} if told is None else dict(zip(rows, told.tolist(), strict=True))
    return Believed(found, {name: place for place, name in enumerate(scores)}, whole, rows, seed, hearsay)


def ordered(kind: BaseDistribution) -> list[Any] | None:
    """Choices that are numbers, in their order: levels rather than names. None for any other dimension."""
    if not isinstance(kind, CategoricalDistribution) or len(kind.choices) < 3:
        return None
    numbers = all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in kind.choices)
    return sorted(kind.choices, key=lambda choice: float(str(choice))) if numbers else None


def _encoded(trials: Sequence[FrozenTrial]) -> np.ndarray:
    """See `encoded`."""
    kinds = {name: kind for trial in trials for name, kind in trial.distributions.items()}
    return encoded(kinds, [trial.params for trial in trials])


def _told(trials: Sequence[FrozenTrial]) -> np.ndarray | None:
    """[trials] what an earlier study expects of each config; the median where it was not asked. None: there is none."""
    told = np.array([trial.user_attrs.get(EXPECTED, np.nan) for trial in trials], float)
    return None if np.isnan(told).all() else np.where(np.isnan(told), np.nanmedian(told), told)


def encoded(kinds: Mapping[str, BaseDistribution], rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """[rows, features] of float32: numbers and levels in [0, 1] of their range, below it where a dimension is not
    read; other choices one column each.
    """
    parts = [part for name, kind in sorted(kinds.items()) for part in _features(kind, [row.get(name) for row in rows])]
    return np.stack(parts, axis=1).astype(np.float32) if parts else np.zeros((len(rows), 1), np.float32)


def _features(kind: BaseDistribution, values: Sequence[Any]) -> list[np.ndarray]:
    if (levels := ordered(kind)) is not None:
        return [np.array([_ABSENT if one is None else levels.index(one) / (len(levels) - 1) for one in values])]
    if isinstance(kind, CategoricalDistribution):
        return [np.array([value == choice for value in values], float) for choice in kind.choices]
    assert isinstance(kind, FloatDistribution | IntDistribution)
    low, high = np.log([kind.low, kind.high]) if kind.log else (kind.low, kind.high)
    numbers = np.array([np.nan if value is None else value for value in values], float)
    unit = ((np.log(numbers) if kind.log else numbers) - low) / ((high - low) or 1.0)
    return [np.nan_to_num(unit, nan=_ABSENT)]
