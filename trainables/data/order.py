"""Which image, and which random view of it, stands at each position of the training stream.

Position p = step * batch_size + i. Everything is a function of (seed, p) alone: not of workers, method or where a
trial was resumed. So two methods with one seed see the same crops.

A bank of V views an image is another protocol: the views are the same for every seed, which only says when each comes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64

_ORDER, _VIEW, _BANK, _TURN = range(4)  # keep the families of random streams apart


def images_from(position: int, *, num_images: int, seed: int) -> Iterator[int]:
    """Index of the image at a position and, should it be damaged, of those that follow it in its epoch, round to the
    one before. Each epoch of `num_images` positions holds every image once.
    """
    epoch, place = divmod(position, num_images)
    order = _epoch_order(num_images, seed, epoch)
    return (int(order[(place + ahead) % num_images]) for ahead in range(num_images))


def view_rng(position: int, *, seed: int) -> np.random.Generator:
    """The generator that draws the view at a position."""
    return np.random.default_rng([_VIEW, seed, position])


def bank_rng(image: int, view: int) -> np.random.Generator:
    """The generator that draws a view of the bank, of whatever seed the trial is."""
    return np.random.default_rng([_BANK, image, view])


def bank_view(position: int, *, image: int, num_images: int, views: int, seed: int) -> int:
    """Which of its views an image takes at a position: the next one each epoch, from a first one that (seed, image)
    chooses. Any `views` epochs in a row hold each view of each image once.
    """
    first = int(np.random.default_rng([_TURN, seed, image]).integers(views))
    return (position // num_images + first) % views


@functools.lru_cache(maxsize=4)  # a batch may straddle two epochs; a teacher's stream may run beside
def _epoch_order(num_images: int, seed: int, epoch: int) -> Int64[np.ndarray, " images"]:
    return np.random.default_rng([_ORDER, seed, epoch]).permutation(num_images)
