"""Which image, and which random view of it, stands at each position of the training stream.

Position p = step * batch_size + i. Everything is a function of (seed, p) alone: not of workers, method or where a
trial was resumed. So two methods with one seed see the same crops.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Int64

_ORDER, _VIEW = 0, 1  # keep the two families of random streams apart


def image_at(position: int, *, num_images: int, seed: int) -> int:
    """Index of the image at a position; each epoch of `num_images` positions holds every image once."""
    epoch, place = divmod(position, num_images)
    return int(_epoch_order(num_images, seed, epoch)[place])


def view_rng(position: int, *, seed: int) -> np.random.Generator:
    """The generator that draws the view at a position."""
    return np.random.default_rng([_VIEW, seed, position])


@functools.lru_cache(maxsize=4)  # a batch may straddle two epochs; a teacher's stream may run beside
def _epoch_order(num_images: int, seed: int, epoch: int) -> Int64[np.ndarray, " images"]:
    return np.random.default_rng([_ORDER, seed, epoch]).permutation(num_images)
