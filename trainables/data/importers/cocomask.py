"""COCO's polygons, by pycocotools, and run lengths as masks. Coordinates lie between pixels: x in [0, width].

Run lengths are laid out here: pycocotools 2.0.11 warns under NumPy 2 where it does so, and reads beyond a text that is
cut off.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainables.data.importers.shapes import Mask, check_near
from trainables.data.importers.source import Size
from trainables.errors import DataError

_LEAST = 6  # numbers of a polygon; of four, pycocotools would make a box


def from_polygons(parts: Sequence[Sequence[float]], size: Size) -> Mask:
    """The union of an object's polygons, each x, y, x, y, ...

    Raises:
        DataError: an odd number of numbers, fewer than three points, or one that no image of this size has.
    """
    from pycocotools import mask

    if not parts:
        raise DataError("has no polygon")
    for part in parts:
        if len(part) < _LEAST or len(part) % 2:
            raise DataError(f"has a polygon of {len(part)} numbers, but it needs x and y of 3 points at least")
        check_near(zip(part[::2], part[1::2], strict=True), size)
    runs = mask.frPyObjects([[float(number) for number in part] for part in parts], *size)
    return _laid_out(_unpacked(mask.merge(runs)["counts"].decode("ascii")), size)


def from_runs(counts: str | Sequence[int], of: Size, size: Size) -> Mask:
    """Run lengths, as numbers or packed into text.

    Args:
        of: the (height, width) that they are said to be of.

    Raises:
        DataError: another size, or runs that do not fill it.
    """
    if tuple(of) != tuple(size):
        raise DataError(f"has run lengths of {of[1]}x{of[0]}, but the image is {size[1]}x{size[0]}")
    lengths = _unpacked(counts) if isinstance(counts, str) else counts
    if sum(lengths) != size[0] * size[1]:
        raise DataError(f"has run lengths of {sum(lengths)} pixels, but the image has {size[0] * size[1]}")
    return _laid_out(lengths, size)


def _laid_out(lengths: Sequence[int], size: Size) -> Mask:
    """Down the columns, first outside of the mask."""
    outside_and_in = np.arange(len(lengths)) % 2 == 1
    return np.repeat(outside_and_in, lengths).reshape(size[::-1]).T


def _unpacked(text: str) -> list[int]:
    """The lengths in COCO's text: 5 bits a character, and from the fourth on the difference to the last but one."""
    lengths: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            raise DataError(f"has run lengths with the letter {letter!r}, which is none of theirs")
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            value -= (1 << shift) if bits & 0x10 else 0
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift or min(lengths, default=0) < 0:
        raise DataError("has run lengths that are cut off")
    return lengths
