"""How alike two networks' features are, whatever their channels: linear CKA."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


class LinearCKA:
    """Of cells that are added batch by batch: only sums are kept, p^2 + q^2 + p q numbers, in float64 on the CPU.

    Source: Kornblith et al. 2019, Similarity of Neural Network Representations Revisited, Eq. 3-4 with a linear kernel:
    ||Y'X||^2 / (||X'X|| ||Y'Y||) of centred X, Y. Few cells for many channels make any two look alike.
    """

    def __init__(self) -> None:
        self._num = 0
        self._first, self._second, self._both = (torch.zeros(()).double() for _ in range(3))
        self._sums: tuple[Tensor, Tensor] = (torch.zeros(()).double(), torch.zeros(()).double())

    def add(self, first: Float[Tensor, "cells p"], second: Float[Tensor, "cells q"]) -> None:
        """What both networks have at the same cells."""
        x, y = first.detach().cpu().double(), second.detach().cpu().double()
        self._num += len(x)
        self._sums = (self._sums[0] + x.sum(0), self._sums[1] + y.sum(0))
        self._first, self._second, self._both = self._first + x.T @ x, self._second + y.T @ y, self._both + x.T @ y

    def value(self) -> float:
        """In [0, 1]; NaN without cells, or where the features of one network never change."""
        if not self._num:
            return math.nan
        x, y = self._sums
        own = (self._first - torch.outer(x, x) / self._num).norm() * (
            self._second - torch.outer(y, y) / self._num
        ).norm()
        both = (self._both - torch.outer(x, y) / self._num).square().sum()
        return float(both / own) if float(own) > 0 else math.nan
