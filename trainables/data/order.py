"""Which image, and which random view of it, stands at each position of the training stream.

Position p = step * batch_size + i. Everything is a function of (seed, p) alone: not of workers, method or where a
trial was resumed. So two methods with one seed see the same crops. Where a step also takes unlabelled images, these
have a stream of their own beside it.

A bank of V views an image is another protocol: the views are the same for every seed, which only says when each comes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from trainables.ranks import Ranks

_ORDER, _VIEW, _BANK, _TURN, _UNLABELLED_ORDER, _UNLABELLED_VIEW = range(6)  # keep the random streams apart


class Place(NamedTuple):
    """Of an image of a step: its position in the stream of the labelled images, or in that of the unlabelled ones."""

    position: int
    labelled: bool


def places(step: int, *, batch_size: int, num_unlabelled: int) -> list[Place]:
    """Of a step's images; the unlabelled ones stand evenly among the labelled, so that each part of a batch has its
    share. Either stream goes on from step to step as if the other were not there.
    """
    found, taken = [], 0
    for place in range(batch_size):
        labelled = (place + 1) * num_unlabelled // batch_size == place * num_unlabelled // batch_size
        if labelled:
            found.append(Place(step * (batch_size - num_unlabelled) + place - taken, True))
        else:
            found.append(Place(step * num_unlabelled + taken, False))
            taken += 1
    return found


def own_part(step: list[Place], *, parts: int, ranks: Ranks) -> list[Place]:
    """A rank's images of a step: of each part of the batch an equal run, so that all ranks' n-th parts together are one
    process's n-th part. Alone: all of them, in order.
    """
    part = len(step) // parts
    own = part // ranks.size
    starts = (number * part + ranks.number * own for number in range(parts))
    return [place for start in starts for place in step[start : start + own]]


def images_from(position: int, *, num_images: int, seed: int, labelled: bool = True) -> Iterator[int]:
    """Index of the image at a position and, should it be damaged, of those that follow it in its epoch, round to the
    one before. Each epoch of `num_images` positions holds every image once.
    """
    epoch, place = divmod(position, num_images)
    order = _epoch_order(num_images, seed, epoch, _ORDER if labelled else _UNLABELLED_ORDER)
    return (int(order[(place + ahead) % num_images]) for ahead in range(num_images))


def view_rng(position: int, *, seed: int, labelled: bool = True) -> np.random.Generator:
    """The generator that draws the view at a position."""
    return np.random.default_rng([_VIEW if labelled else _UNLABELLED_VIEW, seed, position])


def bank_rng(image: int, view: int) -> np.random.Generator:
    """The generator that draws a view of the bank, of whatever seed the trial is."""
    return np.random.default_rng([_BANK, image, view])


def bank_view(position: int, *, image: int, num_images: int, views: int, seed: int) -> int:
    """Which of its views an image takes at a position: the next one each epoch, from a first one that (seed, image)
    chooses. Any `views` epochs in a row hold each view of each image once.
    """
    first = int(np.random.default_rng([_TURN, seed, image]).integers(views))
    return (position // num_images + first) % views


@functools.lru_cache(maxsize=8)  # a batch may straddle two epochs, of each of its streams; a teacher's may run beside
def _epoch_order(num_images: int, seed: int, epoch: int, family: int) -> Int64[np.ndarray, " images"]:
    return np.random.default_rng([family, seed, epoch]).permutation(num_images)
