"""How far mIoU would move on other images: a bootstrap over the images of a split.

mIoU is a ratio of sums over images, so a resample of the images is a weighting of their counts, and all resamples are
two matrix products: weights [resamples, images] @ counts [images, classes]. (`scipy.stats.bootstrap` calls a statistic
on resampled arrays, images * classes numbers for each resample, and knows no groups.)

It says nothing of other seeds: the network is taken as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float64, Int64

LEVEL = 0.90
"""Of the interval; that of every interval of the house (`explorer/statistics/finalists.py`)."""
RESAMPLES = 1000
_CELLS = 2**22  # weights at a time: 32 MiB


def interval(
    hits: Int64[np.ndarray, "images classes"],
    union: Int64[np.ndarray, "images classes"],
    *,
    groups: Sequence[int] | None = None,
    resamples: int = RESAMPLES,
) -> tuple[float, float] | None:
    """90 % bootstrap interval of mIoU, in [0, 1]; the same for the same counts, whatever was drawn before.

    The percentiles of the resamples; how often they hold the truth is in benchmarks/image_interval.json. BCa, which
    corrects for bias and skewness, held it no better.

    Args:
        hits, union: pixels of intersection and union.
        groups: of each image, the number of its group; groups are drawn instead of images.

    Returns:
        None where there is nothing to draw: fewer than two images or groups, or no labelled pixel.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13; Davison and Hinkley, Bootstrap
    Methods and their Application, 1997, 3.8 (groups).
    """
    if groups is not None:
        hits, union = _summed(hits, groups), _summed(union, groups)
    if len(hits) < 2 or not union.any():
        return None
    found = resampled(hits, union, resamples=resamples)
    low, high = np.nanquantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def resampled(
    hits: Int64[np.ndarray, "images classes"], union: Int64[np.ndarray, "images classes"], *, resamples: int
) -> Float64[np.ndarray, " resamples"]:
    """mIoU of each resample; NaN where nothing in it is labelled."""
    return np.concatenate([pooled(some @ hits, some @ union) for some in weights(len(hits), resamples)])


def weights(images: int, resamples: int) -> Iterator[Float64[np.ndarray, "some images"]]:
    """How often each resample holds each image, in parts; drawn with a fixed seed."""
    rng, each = np.random.default_rng(0), np.full(images, 1 / images)
    size = max(1, _CELLS // images)
    for first in range(0, resamples, size):
        yield rng.multinomial(images, each, size=min(size, resamples - first)).astype(np.float64)


def pooled(hits: np.ndarray, union: np.ndarray) -> np.ndarray:
    """mIoU of counts [..., classes], as `metrics.miou`: classes with an empty union are left out; NaN without any."""
    there = union > 0
    iou = np.divide(hits, union, out=np.zeros(union.shape), where=there)
    num = there.sum(axis=-1)
    return np.divide(iou.sum(axis=-1), num, out=np.full(num.shape, np.nan), where=num > 0)


def _summed(counts: Int64[np.ndarray, "images classes"], groups: Sequence[int]) -> Int64[np.ndarray, "groups classes"]:
    found = np.zeros((max(groups, default=-1) + 1, counts.shape[1]), dtype=counts.dtype)
    np.add.at(found, np.asarray(groups, dtype=int), counts)
    return found
