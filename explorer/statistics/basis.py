"""Dimensions as columns: functions of one or two of them that are orthonormal over the search space.

A dimension is uniform over its space: a number between its ends (in log10 where it is searched on the log scale), a
category over its choices. Each column has mean 0 and variance 1 over the space and is uncorrelated with every other
one, so a function's variance is the sum of its squared coefficients, and a block's part of it is a Sobol index.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.polynomial import legendre

_PLAIN = 2  # degree of what a dimension does as a rule, by itself and with another: a slope, one hump
_DETAIL = (1.0, 0.4, 0.2, 0.12)  # prior variance of the degrees beyond, where it does more: a step, a plateau
_FEW = 12  # whole numbers that are levels rather than an interval

Key = tuple[str, ...]
"""The dimensions of a block: one, or two that act together; with one of them once more: the detail of what they do."""


@dataclass(frozen=True)
class Axis:
    """One dimension.

    Attributes:
        kind: "number", "level" (few whole numbers, which have an order) or "category".
        low, high: ends of a number, log10 on the log scale.
        choices: of a level or category, in order.
    """

    kind: str
    low: float = 0.0
    high: float = 1.0
    choices: tuple[Any, ...] = ()

    @classmethod
    def of(
        cls, values: pd.Series, kind: str, log: bool, ends: tuple[float, float], inside: Container[str] | None = None
    ) -> Axis:
        """The axis of a dimension.

        Args:
            values: `plain` ones, of which at least two differ; missing ones are passed over.
            ends: of the space; NaN: as far as the values reach.
            inside: which levels the space holds, as texts, where it does not hold all between its ends.
        """
        seen = values.dropna()
        if kind == "categorical":
            return cls("category", choices=tuple(sorted(seen.unique())))
        low, high = float(np.fmin(ends[0], seen.min())), float(np.fmax(ends[1], seen.max()))
        if kind == "int" and not log and high - low < _FEW:
            levels = range(round(low), round(high) + 1)
            return cls("level", choices=tuple(one for one in levels if inside is None or str(one) in inside))
        return cls("number", low, high)

    @cached_property
    def num_plain(self) -> int:
        """Columns of what the dimension does as a rule; all that a category has."""
        return len(self.choices) - 1 if self.kind == "category" else min(_PLAIN, self._degree)

    @cached_property
    def detail(self) -> np.ndarray:
        """(columns beyond the plain ones,) their shares of the prior variance."""
        variances = np.array(_DETAIL[: 0 if self.kind == "category" else self._degree - self.num_plain])
        return variances / variances.sum() if len(variances) else variances

    @cached_property
    def _degree(self) -> int:
        return min(_PLAIN + len(_DETAIL), len(self.choices) - 1 if self.choices else 99)

    def place(self, values: pd.Series) -> np.ndarray:
        """(trials,) where `plain` values lie: in [0, 1] for a number, else the choice's index; missing: anywhere."""
        if self.kind == "category":
            index = {choice: place for place, choice in enumerate(self.choices)}
            return values.map(index).fillna(0).to_numpy(int)
        if self.kind == "level":
            return np.searchsorted(self.choices, values.fillna(self.choices[0]).round())
        return ((values - self.low) / (self.high - self.low)).fillna(0.5).to_numpy(float)

    def spread(self, uniform: np.ndarray) -> np.ndarray:
        """Places from numbers that are uniform in [0, 1)."""
        return (uniform * len(self.choices)).astype(int) if self.choices else uniform

    def columns(self, places: np.ndarray) -> np.ndarray:
        """(trials, columns) of orthonormal functions at these places."""
        if self.choices:
            return self._contrasts[places]
        values = legendre.legvander(2 * places - 1, self._degree)[:, 1:]
        return values * np.sqrt(2 * np.arange(1, self._degree + 1) + 1)

    @cached_property
    def _contrasts(self) -> np.ndarray:
        """(choices, columns): polynomials made orthonormal over the choices, the constant left out."""
        count = len(self.choices)
        basis, _ = np.linalg.qr(np.vander(np.linspace(-1, 1, count), count, increasing=True))
        return (basis[:, 1:] * np.sqrt(count))[:, : self.num_plain + len(self.detail)]


def plain(values: pd.Series, kind: str, log: bool) -> pd.Series:
    """A dimension's values as text (categorical) or finite numbers, log10 on the log scale; missing else."""
    if kind == "categorical":
        return values.map(str, na_action="ignore").astype(object)
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    if log:
        numbers = np.log10(numbers.where(numbers > 0))
    return numbers.where(np.isfinite(numbers))


def design(
    axes: Mapping[str, Axis], places: Mapping[str, np.ndarray], present: Mapping[str, np.ndarray]
) -> dict[Key, np.ndarray]:
    """Block -> (trials, columns): each dimension, each two of them, and the detail of both; 0 where one is not read.

    The detail of two is what one does beyond a slope and a hump, times the slope and hump of the other.
    """
    every = {name: axis.columns(places[name]) * present[name][:, None] for name, axis in axes.items()}
    plain = {name: columns[:, : axes[name].num_plain] for name, columns in every.items()}
    blocks: dict[Key, np.ndarray] = {(name,): columns for name, columns in plain.items()}
    detail = {name: every[name][:, axis.num_plain :] for name, axis in axes.items()}
    blocks |= {(name, name): columns for name, columns in detail.items() if columns.shape[1]}
    for first, second in combinations(axes, 2):
        blocks[first, second] = _products(plain[first], plain[second])
        parts = [_products(detail[first], plain[second]), _products(plain[first], detail[second])]
        blocks[first, second, first] = np.concatenate(parts, axis=1)
    return {key: columns for key, columns in blocks.items() if columns.shape[1]}


def _products(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(trials, columns of the first times columns of the second)"""
    return (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)


def weights(axes: Mapping[str, Axis], key: Key, num_columns: int) -> np.ndarray:
    """(columns,) share of the prior variance of a block that each of its columns has."""
    if len(key) == len({*key}):
        return np.full(num_columns, 1 / num_columns)
    one, other = (axes[name] for name in key[:2])
    if len(key) == 2:
        return one.detail
    parts = np.concatenate([np.repeat(one.detail, other.num_plain), np.tile(other.detail, one.num_plain)])
    return parts / parts.sum()
