"""Pixels by their colour: which class each is, and which colours there are. Pure; `coding` reads the files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64, UInt8

Colour = tuple[int, int, int]
"""RGB, 0..255."""

_ROOM = 3 * 255**2 + 1  # more than any squared distance


class Matched(NamedTuple):
    """What the pixels of a picture are.

    Attributes:
        numbers: of the nearest colour that is near enough, else `strange`'s.
        found: every colour of the picture, in the order of red, green, blue.
        pixels: of each of `found`.
        distance: of each of `found` to the nearest colour of the table, Euclidean in 0..255.
        nearest: place of that colour in the table; of two equally near the first.
    """

    numbers: UInt8[np.ndarray, "height width"]
    found: UInt8[np.ndarray, "found 3"]
    pixels: Int64[np.ndarray, " found"]
    distance: Float[np.ndarray, " found"]
    nearest: Int64[np.ndarray, " found"]


class Colours(NamedTuple):
    """The colours of a picture, each with its pixels."""

    found: UInt8[np.ndarray, "found 3"]
    pixels: Int64[np.ndarray, " found"]

    def commonest(self, most: int) -> list[tuple[Colour, float]]:
        """The colours of most pixels and their shares of the picture, in [0, 1]."""
        order = np.argsort(-self.pixels, kind="stable")[:most]
        return [(as_colour(self.found[one]), float(self.pixels[one] / self.pixels.sum())) for one in order]


def match(
    picture: UInt8[np.ndarray, "height width 3"],
    *,
    table: Sequence[Colour],
    numbers: Sequence[int],
    tolerance: float,
    strange: int,
) -> Matched:
    """Each pixel takes the number of the nearest colour of the table.

    Cost: runs of equal pixels are looked at once and colours once each: 20 ms for 2048x1024 pixels of a lossless mask.

    Args:
        table: the colours.
        numbers: of each colour of the table, 0..255.
        tolerance: the largest Euclidean distance in RGB, 0..255, at which a pixel is a colour's.
        strange: the number of pixels that are of no colour.
    """
    runs = _runs(picture)
    nearest, distance = _nearest(runs.found, table)
    of_found = np.where(distance <= tolerance, np.array(numbers, np.uint8)[nearest], np.uint8(strange))
    of_pixels = np.repeat(of_found[runs.place], runs.lengths).reshape(picture.shape[:2])
    return Matched(of_pixels, runs.found, runs.pixels, distance, nearest)


def colours_of(picture: UInt8[np.ndarray, "height width 3"]) -> Colours:
    """Every colour of a picture."""
    runs = _runs(picture)
    return Colours(runs.found, runs.pixels)


def as_colour(values: UInt8[np.ndarray, " 3"]) -> Colour:
    red, green, blue = values.tolist()
    return red, green, blue


class _Runs(NamedTuple):
    """Runs of equal pixels: their lengths, and their colours as places in `found`."""

    lengths: Int64[np.ndarray, " runs"]
    place: Int64[np.ndarray, " runs"]
    found: UInt8[np.ndarray, "found 3"]
    pixels: Int64[np.ndarray, " found"]


def _runs(picture: UInt8[np.ndarray, "height width 3"]) -> _Runs:
    red, green, blue = (picture[..., channel].ravel().astype(np.uint32) for channel in range(3))
    packed = red << 16 | green << 8 | blue
    starts = np.flatnonzero(np.concatenate([[True], packed[1:] != packed[:-1]]))
    lengths = np.diff(starts, append=packed.size).astype(np.int64)
    keys, place = np.unique(packed[starts], return_inverse=True)
    place = place.reshape(-1).astype(np.int64)
    found = np.stack([keys >> 16, keys >> 8 & 255, keys & 255], axis=-1).astype(np.uint8)
    pixels = np.bincount(place, weights=lengths, minlength=len(keys)).astype(np.int64)
    return _Runs(lengths, place, found, pixels)


def _nearest(
    found: UInt8[np.ndarray, "found 3"], table: Sequence[Colour]
) -> tuple[Int64[np.ndarray, " found"], Float[np.ndarray, " found"]]:
    """A colour of the table at a time, so that a photo's many colours need no more room than themselves."""
    wide = found.astype(np.int32)
    best = np.full(len(found), _ROOM, np.int32)
    nearest = np.zeros(len(found), np.int64)
    for place, colour in enumerate(table):
        squared = np.square(wide - np.array(colour, np.int32)).sum(axis=1, dtype=np.int32)
        nearer = squared < best
        best[nearer] = squared[nearer]
        nearest[nearer] = place
    return nearest, np.sqrt(best.astype(np.float64))
