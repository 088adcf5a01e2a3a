"""Whether a network is as sure as it is right: what soft targets can pass on depends on it."""

from __future__ import annotations

import math
from typing import NamedTuple

from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

BINS = 15
_COLDEST, _HOTTEST = 0.05, 20.0


class Calibration(NamedTuple):
    """Attributes:
    error: expected calibration error in [0, 1]: the mean gap between confidence and accuracy over BINS bins of
        confidence, weighted by their pixels.
    temperature: the one whose softmax gives labels the highest likelihood; above 1: it is too sure of itself.
    error_there: the error at that temperature.
    bins: (mean confidence, accuracy, share of the pixels) of each bin that holds any.
    num_pixels: labelled ones that were looked at.
    """

    error: float
    temperature: float
    error_there: float
    bins: list[tuple[float, float, float]]
    num_pixels: int


def calibration(logits: Float[Tensor, "pixels classes"], labels: Int[Tensor, " pixels"]) -> Calibration:
    """Of labelled pixels; NaN where there are none.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks: ECE (Eq. 3), temperature scaling (section 4.2).
    """
    if not len(labels):
        return Calibration(math.nan, math.nan, math.nan, [], 0)
    logits = logits.float()

    def loss(log_temperature: float) -> float:
        return float(F.cross_entropy(logits / math.exp(log_temperature), labels))

    bounds = math.log(_COLDEST), math.log(_HOTTEST)
    best = math.exp(float(minimize_scalar(loss, bounds=bounds, method="bounded").x))
    sure, said = logits.softmax(dim=1).max(dim=1)
    right = (said == labels).float()
    place = (sure * BINS).long().clamp(max=BINS - 1)
    bins = [
        (float(sure[inside].mean()), float(right[inside].mean()), float(inside.float().mean()))
        for number in range(BINS)
        if (inside := place == number).any()
    ]
    return Calibration(_error(logits, labels), best, _error(logits / best, labels), bins, len(labels))


def _error(logits: Float[Tensor, "pixels classes"], labels: Int[Tensor, " pixels"]) -> float:
    from torchmetrics.functional.classification import multiclass_calibration_error  # seconds

    return float(
        multiclass_calibration_error(logits.softmax(dim=1), labels, num_classes=logits.shape[1], n_bins=BINS, norm="l1")
    )
