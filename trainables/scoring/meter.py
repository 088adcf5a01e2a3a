"""Running means of the loss terms, and the clock that leaves evaluation out."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor, nn

from trainables.errors import NonFiniteLoss
from trainables.ranks import ALONE, Ranks


class Meter:
    """Running sums of the loss terms on the device, read only at log points; of several ranks, their mean."""

    def __init__(self, device: torch.device, ranks: Ranks = ALONE) -> None:
        self._device = device
        self._ranks = ranks
        self._reset()

    def _reset(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps = 0

    def add(self, terms: dict[str, Tensor]) -> None:
        for name, term in terms.items():
            self._sums[name] = self._sums.get(name, torch.zeros((), device=self._device)) + term.detach()
        self._steps += 1

    def check(self, step: int) -> None:
        """Raise NonFiniteLoss if any term has been NaN or infinite since the last report."""
        values = self._read()
        if bad := [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]:
            raise NonFiniteLoss(f"{', '.join(bad)} at step {step}. Lower lr or the loss weights, or set clip_norm.")

    def means(self) -> dict[str, float]:
        """Mean of each term since the last call."""
        means = {name: total / self._steps for name, total in self._read().items()}
        self._reset()
        return means

    def _read(self) -> dict[str, float]:
        sums = {name: total.clone() for name, total in self._sums.items()} if self._ranks.size > 1 else self._sums
        self._ranks.average(sums.values())
        return {name: total.item() for name, total in sums.items()}


class Clock:
    """Seconds of training, paused while evaluating; goes on from a checkpoint's count."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.resume()

    def resume(self) -> None:
        self._since = time.perf_counter()

    def pause(self) -> float:
        self._seconds += time.perf_counter() - self._since
        return self._seconds


def check_finite(student: nn.Module, step: int) -> None:
    """Raise NonFiniteLoss if a weight or a BatchNorm statistic is not finite, though the loss was before it."""
    for name, value in student.state_dict().items():
        if not torch.isfinite(value).all():
            raise NonFiniteLoss(f"{name} is not finite at step {step}. Lower lr or the loss weights, or set clip_norm.")
