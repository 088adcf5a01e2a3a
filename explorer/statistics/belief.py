"""What one believes of each config's true mean, given few runs of it whose seeds differ by luck.

Two witnesses are combined. A forest of extra trees says what configs like this one have, each config judged by the
trees that have not seen it; its own runs say what it had. The forest's error t2 and the luck s2 of a run weigh them:

    mean = (forest / t2 + n * own / s2) / (1 / t2 + n / s2),    sd = (1 / t2 + n / s2) ** -0.5

Luck is measured: s2 is what runs of one config on other seeds differ by. Until there are such, next to none is
assumed, and the belief is what was seen; assumed luck does harm where there is little. No more than two standard
deviations of luck are taken off: the forest knows no cliff.

Source: Geurts et al., Machine Learning 2006 (extra trees); Efron and Morris, JASA 1972 (limited translation) and 1973
(empirical Bayes).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr
from sklearn.tree import ExtraTreeRegressor

NUM_TREES = 50
FEW = 8
"""Configs below which there is no forest, and whole trials below which nothing is predicted from a rung."""
ASSUMED, _ASSUMED_FREEDOM = 0.05, 1.0  # of the variance that the forest leaves; as good as one repeat
_LEAST = 0.1  # of that variance is the forest's own error, however lucky the runs
_MOST_LUCK = 2.0  # standard deviations that may be taken off: what lies beyond a cliff was not unlucky
_TAIL = 2.5  # times the way from the median to the best tenth: worse scores count as this far below
_TINY = 1e-12


@dataclass(frozen=True)
class Belief:
    """Attributes:
    mean, sd: [configs] of the true mean.
    own, runs: [configs] mean and number of its runs.
    forest: [configs] what the trees say that have not seen it.
    luck: standard deviation between runs of a config; freedom: degrees of freedom that it was measured with.
    heed: weight in [0, 1] of a forest that was told what an earlier study expects, over one that was not.
    """

    mean: np.ndarray
    sd: np.ndarray
    own: np.ndarray
    runs: np.ndarray
    forest: np.ndarray
    luck: float
    freedom: int
    heed: float = 0.0


class Forest:
    """Extra trees on bootstrap samples; trees that lack a row say what it is judged by."""

    def __init__(self, features: np.ndarray, scores: np.ndarray, *, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._level = float(scores.mean())
        self._trees = []
        total, count = np.zeros(len(scores)), np.zeros(len(scores))
        for _ in range(NUM_TREES):
            drawn = np.bincount(rng.integers(0, len(scores), len(scores)), minlength=len(scores))
            tree = ExtraTreeRegressor(random_state=int(rng.integers(2**31)))
            tree.fit(features, scores, sample_weight=drawn.astype(float), check_input=False)
            self._trees.append(tree.tree_)
            unseen = drawn == 0
            total[unseen] += tree.tree_.predict(features[unseen])[:, 0] if unseen.any() else 0.0
            count[unseen] += 1
        self.unseen = np.where(count > 0, total / np.maximum(count, 1), self._level)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Args: features: [configs, columns], float32."""
        return np.mean([tree.predict(features)[:, 0] for tree in self._trees], axis=0)


def believe(
    features: np.ndarray,
    own: np.ndarray,
    runs: np.ndarray,
    *,
    within: float,
    seed: int = 0,
    assumed: float = ASSUMED,
    told: np.ndarray | None = None,
) -> Belief:
    """The belief about each config; a function of its arguments alone.

    Args:
        features: [configs, features], float32.
        own: [configs] mean score of its runs, whatever the unit.
        runs: [configs] their number, each on another seed.
        within: sum of squares of the runs about the mean of their config.
        assumed: share of the variance that the forest leaves which is taken for luck until it is measured.
        told: [configs] what an earlier study expects of each, in whatever unit.
    """
    own, runs = np.asarray(own, float), np.asarray(runs, float)
    forest, heed = _forest(features, own, seed, told)
    left = float(((pulled(own) - forest) ** 2).sum() / max(len(own) - 1, 1))
    freedom = int(runs.sum() - len(runs))
    luck = (within + _ASSUMED_FREEDOM * assumed * left) / (freedom + _ASSUMED_FREEDOM)
    error = max(left - luck * float(np.mean(1 / runs)), _LEAST * left, _TINY)
    luck = max(luck, _TINY * _TINY)
    precision = 1 / error + runs / luck
    most = _MOST_LUCK * np.sqrt(luck / runs)
    mean = np.clip((forest / error + runs * own / luck) / precision, own - most, own + most)
    return Belief(mean, precision**-0.5, own, runs, forest, float(np.sqrt(luck)), freedom, heed)


def pulled(scores: np.ndarray) -> np.ndarray:
    """The scores, their low tail pulled up: a cliff of 20 points would be all that the trees see."""
    middle, high = np.quantile(scores, [0.5, 0.9])
    return np.maximum(scores, middle - _TAIL * (high - middle)) if high > middle else scores


def _forest(features: np.ndarray, own: np.ndarray, seed: int, told: np.ndarray | None) -> tuple[np.ndarray, float]:
    """What the forest says of each config that has not seen it, and the weight of what it was told."""
    if len(own) < FEW:
        return np.full(len(own), own.mean()), 0.0
    plain = _unseen(features, own, seed)
    if told is None:
        return plain, 0.0
    wiser = _unseen(beside(features, told), own, seed)
    heed = _heed(pulled(own) - plain, pulled(own) - wiser)
    return plain + heed * (wiser - plain), heed


def _heed(plain: np.ndarray, wiser: np.ndarray) -> float:
    """The weight of the forest that was told: the share of the other's squares that it does away with, shrunk while
    there are few.

    Args:
        plain, wiser: [configs] what each forest leaves, out of bag, so that what is told and misleads gets none.
    """
    left = float(plain @ plain)
    better = max(0.0, 1 - float(wiser @ wiser) / left) if left else 0.0
    return better * max(0.0, 1 - FEW / len(plain))


def beside(features: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Features with one more column."""
    return np.ascontiguousarray(np.column_stack([features, told]), np.float32)


def _unseen(features: np.ndarray, own: np.ndarray, seed: int) -> np.ndarray:
    known = fitted_on(len(own))
    forest = grown(features[:known].tobytes(), features.shape[1], own[:known].tobytes(), seed)
    rest = forest.predict(features[known:]) if known < len(own) else np.empty(0)
    return np.concatenate([forest.unseen, rest])


def fitted_on(num: int) -> int:
    """Of so many configs, the first that a forest is grown on: many need not be grown anew for each further one."""
    return num - num % max(1, num // 10)


@lru_cache(maxsize=8)
def grown(features: bytes, width: int, own: bytes, seed: int) -> Forest:
    """A forest of these rows; the last few are remembered, because one set of trials is asked about many times."""
    rows = np.frombuffer(features, np.float32).reshape(-1, width)
    return Forest(rows, pulled(np.frombuffer(own)), seed=seed)


class Outlook(NamedTuple):
    """What a final score may be, by Student's t."""

    mean: float
    scale: float
    freedom: int

    def above(self, threshold: float) -> float:
        """Probability of a final above it."""
        return float(stdtr(self.freedom, (self.mean - threshold) / self.scale))


@dataclass(frozen=True)
class Line:
    """Finals as a regression on the value at a rung and on what the forest expects.

    Attributes:
        weights: of 1, value, expectation; spread: covariance of them, in units of `left`, the variance about the line.
    """

    weights: np.ndarray
    spread: np.ndarray
    left: float
    freedom: int

    def at(self, value: float, expected: float) -> Outlook:
        """The final of a trial that has `value` at the rung, its config being expected to have `expected`."""
        here = np.array([1.0, value, expected])
        scale = np.sqrt(self.left * (1 + float(here @ self.spread @ here)))
        return Outlook(float(here @ self.weights), max(float(scale), _TINY), self.freedom)


def line(rung: np.ndarray, forest: np.ndarray, final: np.ndarray) -> Line | None:
    """The regression over trials that were trained whole; fewer than eight tell nothing.

    Args:
        rung, forest, final: [trials] each.
    """
    if len(final) < FEW:
        return None
    design = np.column_stack([np.ones(len(final)), rung, forest])
    weights, _, rank, _ = np.linalg.lstsq(design, final, rcond=None)
    freedom = len(final) - int(rank)
    left = float(((final - design @ weights) ** 2).sum() / freedom)
    return Line(weights, np.linalg.pinv(design.T @ design), left, freedom)
