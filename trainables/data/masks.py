"""Mask files to class ids, never through a colour conversion: ids [0, 1, 2] must not become [0, 38, 75]."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt8
from PIL import Image

from trainables.data.faults import first_three
from trainables.data.headers import upright
from trainables.data.images import opened
from trainables.errors import DataError

_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}  # PNG specification, IHDR colour type
_HEADER = 26  # bytes up to IHDR's depth and colour type
_REMEDY = "Save class ids as a palette or 8-bit grey PNG."


def read_mask(path: Path) -> UInt8[np.ndarray, "height width"]:
    """The ids a palette or 8-bit grey PNG stores, upright as its image is, should it have an orientation of its own.

    Grey of 1, 2 or 4 bits is refused too: decoders, Pillow among them, stretch it to 0-255 (4-bit id 1 reads as 17).

    Raises:
        DataError: no such file, no PNG, damaged, RGB, with alpha, or grey of another depth than 8 bits.
    """
    with opened(path, ("PNG",)) as image:
        _check_kind(path)
        return np.array(upright(image))


def mask_kind(path: Path) -> str:
    """Depth and colour type of a PNG, such as "8-bit palette"."""
    depth, colour = _header(path)
    return f"{depth}-bit {_COLOURS[colour]}"


def _check_kind(path: Path) -> None:
    depth, colour = _header(path)
    if colour != 3 and (depth, colour) != (8, 0):
        raise DataError(f"{path} is a {mask_kind(path)} PNG, whose pixels are no class ids. {_REMEDY}")


def _header(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        *_, depth, colour = file.read(_HEADER)
    return depth, colour


def count_ids(mask: UInt8[np.ndarray, "height width"]) -> Int64[np.ndarray, " ids"]:
    """Pixels of each of the 256 ids."""
    return np.array(Image.fromarray(mask).histogram(), np.int64)


def check_ids(
    mask: UInt8[np.ndarray, "height width"], path: Path, *, known: Bool[np.ndarray, " ids"], rule: str
) -> None:
    """Refuse ids that the data set does not know.

    Args:
        mask: what the file holds.
        path: the file.
        known: whether each of the 256 ids may stand in a mask.
        rule: which may, for the sentence.

    Raises:
        DataError: names the file and up to three of the ids.
    """
    valid = known[mask]
    if not valid.all():
        strange = [str(number) for number in np.unique(mask[~valid])]
        raise DataError(f"{path} holds id{'s' * (len(strange) > 1)} {first_three(strange)}, but {rule}.")
