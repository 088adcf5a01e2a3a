"""Mean and standard deviation of each channel of a data set's training images, for its dataset.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from trainables.bands import Bands
from trainables.data import banded
from trainables.data.check import THREADS
from trainables.data.dataset import SegDataset
from trainables.data.doctor import evenly
from trainables.errors import DataError

IMAGES = 400
"""Read of the training split, evenly spaced, unless all are asked for."""
_DIGITS = 5


@dataclass(frozen=True)
class Measured:
    """Of the stored values divided by the scale, over all pixels that hold data.

    Attributes:
        num_images: that were read.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_images: int

    def lines(self) -> list[str]:
        """For dataset.yaml."""
        return [
            f"{name}: [{', '.join(map(_said, values))}]" for name, values in (("mean", self.mean), ("std", self.std))
        ]


class _Moments:
    """Count, mean and sum of squared deviations of each channel, an image at a time.

    Source: Chan, Golub and LeVeque 1979, the pairwise update.
    """

    def __init__(self, channels: int) -> None:
        self.count = np.zeros(channels)
        self.mean = np.zeros(channels)
        self.squares = np.zeros(channels)

    def add(self, values: Float64[np.ndarray, "pixels channels"]) -> None:
        count = np.isfinite(values).sum(axis=0)
        some = np.maximum(count, 1)
        mean = np.nansum(values, axis=0) / some
        squares = np.nansum((values - mean) ** 2, axis=0)
        total = np.maximum(self.count + count, 1)
        apart = mean - self.mean
        self.squares += squares + apart**2 * self.count * count / total
        self.mean += np.where(count > 0, apart * count / total, 0)
        self.count += count


def measure(dataset: SegDataset, *, full: bool = False) -> Measured:
    """In float64, an image at a time. Images that cannot be read are left out.

    Args:
        full: all training images.

    Raises:
        DataError: none can be read, or a channel has one value everywhere.
        MissingExtra: what reads them is not installed.
    """
    samples = dataset.samples("train")
    paths = [sample.image for sample in (samples if full else evenly(samples, IMAGES))]
    found, num_images = _Moments(dataset.bands.channels), 0
    for values in _numbers(paths, dataset.bands):
        found.add(values)
        num_images += 1
    if not num_images or not found.count.all():
        raise DataError(
            f"{dataset.root} holds no training image that can be measured. `heteroakd data check` says why."
        )
    std = np.sqrt(found.squares / found.count)
    if flat := [str(number) for number, one in enumerate(std) if not one > 0]:
        raise DataError(
            f"Channel {flat[0]} of {dataset.root} has one value in all images that were read. Leave it out."
        )
    return Measured(tuple(found.mean.tolist()), tuple(std.tolist()), num_images)


def _numbers(paths: list[Path], bands: Bands) -> Iterator[Float64[np.ndarray, "pixels channels"]]:
    """Of the images that can be read, a few decoded ahead."""

    def one(path: Path) -> np.ndarray | None:
        try:
            return banded.numbers(path, bands).reshape(-1, bands.channels).astype(np.float64) / bands.scale
        except DataError:
            return None

    with ThreadPoolExecutor(THREADS) as pool:
        for first in range(0, len(paths), THREADS):
            yield from (values for values in pool.map(one, paths[first : first + THREADS]) if values is not None)


def _said(value: float) -> str:
    return f"{value:.{_DIGITS}g}"
