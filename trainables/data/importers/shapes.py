"""Shapes of one image, painted into its label: the larger first, so that what is small lies on top."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw

from trainables.data.importers.source import UNCOVERED, Ids, Size
from trainables.errors import DataError

Point = tuple[float, float]
"""x, y in pixels."""
Mask = Bool[np.ndarray, "height width"]
_FAR = 10  # images: a point farther off is no point of this one


class Shape(NamedTuple):
    """A part of an image.

    Attributes:
        number: of its class, or IGNORED.
        top, left: of its mask in the image.
        mask: which pixels are its own.
        beneath: whether it lies under all that are not.
    """

    number: int
    top: int
    left: int
    mask: Mask
    beneath: bool = False

    @property
    def area(self) -> int:
        """In pixels."""
        return int(np.count_nonzero(self.mask))


def cropped(number: int, mask: Mask, *, top: int = 0, left: int = 0, beneath: bool = False) -> Shape:
    """The shape of a mask, without the empty rows and columns around it.

    Raises:
        DataError: no pixel of it is set.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        raise DataError("covers no pixel of the image")
    inner = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Shape(number, top + int(rows[0]), left + int(columns[0]), inner.copy(), beneath)


def painted(shapes: Iterable[Shape], size: Size) -> tuple[Ids, int]:
    """Ids, UNCOVERED where there is no shape, and the number of pixels that shapes of more than one class cover.

    Of equal areas, the later one lies on top. Whatever is ignored and beneath does not count as an overlap.
    """
    ids = np.full(size, UNCOVERED, np.uint8)
    twice = np.zeros(size, bool)
    for shape in sorted(shapes, key=lambda shape: (not shape.beneath, -shape.area)):
        height, width = shape.mask.shape
        place = np.s_[shape.top : shape.top + height, shape.left : shape.left + width]
        below = ids[place]
        twice[place] |= shape.mask & (below < UNCOVERED) & (below != shape.number)
        below[shape.mask] = shape.number
    return ids, int(np.count_nonzero(twice))


def polygon(points: Sequence[Point], size: Size) -> Mask:
    """As Labelme and Supervisely fill it: its outline belongs to it. A point is the middle of a pixel.

    Raises:
        DataError: fewer than three points, or one that no image of this size has.
    """
    if len(points) < 3:
        raise DataError(f"has {len(points)} points, but a polygon has 3 at least")
    return _filled(points, size, lambda pen, moved: pen.polygon(moved, fill=1, outline=1))


def rectangle(points: Sequence[Point], size: Size) -> Mask:
    """Of two opposite corners, which belong to it.

    Raises:
        DataError: other than two points, or one that no image of this size has.
    """
    if len(points) == 4:  # newer versions of Labelme write all of them
        points = [
            (min(x for x, _ in points), min(y for _, y in points)),
            (max(x for x, _ in points), max(y for _, y in points)),
        ]
    if len(points) != 2:
        raise DataError(f"has {len(points)} points, but a rectangle has 2")
    (left, right), (top, bottom) = (sorted(axis) for axis in zip(*points, strict=True))
    return _filled([(left, top), (right, bottom)], size, lambda pen, moved: pen.rectangle(moved, fill=1, outline=1))


def circle(points: Sequence[Point], size: Size) -> Mask:
    """Of its centre and a point of its edge.

    Raises:
        DataError: other than two points, or one that no image of this size has.
    """
    if len(points) != 2:
        raise DataError(f"has {len(points)} points, but a circle has 2")
    (x, y), edge = points
    radius = math.dist((x, y), edge)
    corners = [(x - radius, y - radius), (x + radius, y + radius)]
    return _filled(corners, size, lambda pen, moved: pen.ellipse(moved, fill=1, outline=1))


def box(left: float, top: float, right: float, bottom: float, size: Size) -> Mask:
    """The pixels that a box touches; its sides lie between pixels.

    Raises:
        DataError: a side that no image of this size has.
    """
    check_near([(left, top), (right, bottom)], size)
    mask = np.zeros(size, bool)
    mask[max(0, math.floor(top)) : max(0, math.ceil(bottom)), max(0, math.floor(left)) : max(0, math.ceil(right))] = (
        True
    )
    return mask


def check_near(points: Iterable[Point], size: Size) -> None:
    """Before anything of the size of a shape is made.

    Raises:
        DataError: a point is no number, or far outside.
    """
    height, width = size
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            raise DataError(f"has the point ({x}, {y}), which is no place")
        if max(abs(x) / width, abs(y) / height) > _FAR:
            raise DataError(f"has the point ({x:g}, {y:g}), far outside of the image of {width}x{height}")


def _filled(points: Sequence[Point], size: Size, draw: Callable[[ImageDraw.ImageDraw, list[Point]], None]) -> Mask:
    """Drawn by Pillow within the shape's own bounds."""
    check_near(points, size)
    height, width = size
    left, top = (max(0, math.floor(min(axis)) - 1) for axis in zip(*points, strict=True))
    right, bottom = (math.ceil(max(axis)) + 2 for axis in zip(*points, strict=True))
    mask = np.zeros(size, bool)
    within = (min(width, right) - left, min(height, bottom) - top)
    if min(within) > 0:
        canvas = Image.new("L", within)
        draw(ImageDraw.Draw(canvas), [(x - left, y - top) for x, y in points])
        mask[top : top + within[1], left : left + within[0]] = np.asarray(canvas) > 0
    return mask
