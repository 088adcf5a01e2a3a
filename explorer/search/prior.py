"""What an earlier study, of another pair or data set, expects of a config: a prior for this study's belief.

Its configs and what it believes of each are kept with this study, and a forest over them says of every new config what
the earlier study expects. This study's belief grows two forests, one of which has that number as a feature. Its
weight is learnt out of bag: the share of the squares, of this study's own configs that a forest has not seen, that the
number does away with, shrunk while there are few. The sampler `belief` sees the earlier study's configs too, each with
what this study's belief expects of it, as many as the weight says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from explorer.search import belief
from explorer.statistics.belief import FEW, Forest, pulled

EXPECTED = belief.EXPECTED
_SPACE, _CONFIGS = "prior_space", "prior_configs"  # attributes of the study; configs in parts, which databases limit
_MOST, _PART = 200, 25
_SHOWN = 40  # of its configs, to TPE


@dataclass(frozen=True)
class Prior:
    """An earlier study's belief.

    Attributes:
        space: its dimensions.
        configs: (params, posterior mean in [0, 1]), the best first.
    """

    space: Mapping[str, BaseDistribution]
    configs: Sequence[tuple[dict[str, Any], float]]

    def expects(self, params: Mapping[str, Any]) -> float | None:
        """Of a config of this study, in the earlier one's mIoU; None where fewer than eight configs tell.

        Args:
            params: name -> value; those that the earlier study searched and this one fixes may be among them.
        """
        if len(self.configs) < FEW:
            return None
        row = {name: self._here(name, params[name]) for name in self.space if name in params}
        features = belief.encoded(self.space, [row])
        return float(_grown(self._text()).predict(features)[0])

    def points(self, space: Mapping[str, BaseDistribution], num: int) -> list[dict[str, Any]]:
        """Good configs as far as they lie in a space, each once, for this study to try: the best, and of the better
        third those that are farthest from the ones before, since the best few are often next to one another.

        Args:
            num: at most so many.
        """
        found: list[dict[str, Any]] = []
        for params, _ in self.configs:
            point = {name: value for name, value in params.items() if name in space and _holds(space[name], value)}
            if point and point not in found:
                found.append(point)
        good = found[: max(num, math.ceil(len(found) / 3))]
        rows, chosen = belief.encoded(space, good), [0] if good and num else []
        while chosen and len(chosen) < min(num, len(good)):
            apart = np.min([np.abs(rows - rows[place]).sum(axis=1) for place in chosen], axis=0)
            apart[chosen] = -1
            chosen.append(int(apart.argmax()))
        return [good[place] for place in chosen]

    def trials(self, space: Mapping[str, BaseDistribution]) -> list[FrozenTrial]:
        """Its best configs as trials of a study with this space, without a score; none where it lacks a dimension."""
        if not self.space.keys() >= space.keys() or len(self.configs) < FEW:
            return []
        found = []
        for params, _ in self.configs[:_SHOWN]:
            here = {name: value for name, value in params.items() if name in space}
            if all(_holds(space[name], value) for name, value in here.items()):
                kinds = {name: space[name] for name in here}
                told = {EXPECTED: self.expects(params)}
                found.append(create_trial(state=TrialState.WAITING, params=here, distributions=kinds, user_attrs=told))
        return found

    def remember(self, study: optuna.Study) -> None:
        """Keep it with a study."""
        study.set_user_attr(_SPACE, {name: distribution_to_json(kind) for name, kind in self.space.items()})
        for part, start in enumerate(range(0, len(self.configs), _PART)):
            study.set_user_attr(f"{_CONFIGS}_{part}", self.configs[start : start + _PART])

    def _here(self, name: str, value: Any) -> Any:
        """A value as its own space has it: the nearest number; None where there is none."""
        kind = self.space[name]
        if (levels := belief.ordered(kind)) is not None:
            return min(levels, key=lambda level: abs(level - value)) if _is_number(value) else None
        if isinstance(kind, CategoricalDistribution):
            return value
        assert isinstance(kind, FloatDistribution | IntDistribution)
        return min(max(value, kind.low), kind.high) if _is_number(value) else None

    def _text(self) -> str:
        kinds = {name: distribution_to_json(kind) for name, kind in self.space.items()}
        return json.dumps([kinds, list(self.configs)], sort_keys=True)


def learnt(trials: Sequence[FrozenTrial]) -> Prior | None:
    """The belief of a study with these trials; None where none is whole.

    Of many configs the best hundred are kept, and of the others every few.
    """
    found = belief.believed(trials)
    if found is None:
        return None
    ranked = found.ranked()
    rest = ranked[_MOST // 2 :]
    kept = [*ranked[: _MOST // 2], *rest[:: max(1, math.ceil(len(rest) / (_MOST // 2)))]]
    space = {name: kind for trial in ranked for name, kind in trial.distributions.items()}
    return Prior(space, [(dict(trial.params), round(found.mean(trial), 6)) for trial in kept])


def recalled(study: optuna.Study) -> Prior | None:
    """What a study keeps; None where it keeps none."""
    attributes = study.user_attrs
    if _SPACE not in attributes:
        return None
    configs: list[tuple[dict[str, Any], float]] = []
    while (part := attributes.get(f"{_CONFIGS}_{len(configs) // _PART}")) is not None:
        configs += [(dict(params), float(mean)) for params, mean in part]
        if len(part) < _PART:
            break
    return Prior({name: json_to_distribution(kind) for name, kind in attributes[_SPACE].items()}, configs)


def shared(theirs: Mapping[str, BaseDistribution], ours: Mapping[str, BaseDistribution]) -> list[str]:
    """Dimensions of both spaces that have a value in common, or are numbers in both."""
    return [name for name in theirs if name in ours and _meet(theirs[name], ours[name])]


def _meet(one: BaseDistribution, other: BaseDistribution) -> bool:
    if _numbers(one) and _numbers(other):
        return True
    if isinstance(one, CategoricalDistribution) and isinstance(other, CategoricalDistribution):
        return any(choice in other.choices for choice in one.choices)
    return False


def _numbers(kind: BaseDistribution) -> bool:
    return not isinstance(kind, CategoricalDistribution) or belief.ordered(kind) is not None


def _holds(kind: BaseDistribution, value: Any) -> bool:
    try:
        return bool(kind._contains(kind.to_internal_repr(value)))
    except ValueError:
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@lru_cache(maxsize=4)
def _grown(text: str) -> Forest:
    kinds, configs = json.loads(text)
    space = {name: json_to_distribution(kind) for name, kind in kinds.items()}
    rows = belief.encoded(space, [params for params, _ in configs])
    return Forest(rows, pulled(np.array([mean for _, mean in configs])), seed=0)
