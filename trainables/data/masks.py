"""Mask files to class ids, never through a colour conversion: ids [0, 1, 2] must not become [0, 38, 75]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from trainables.data.images import opened
from trainables.errors import DataError

_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}  # PNG specification, IHDR colour type
_HEADER = 26  # bytes up to IHDR's depth and colour type
_REMEDY = "Save class ids as a palette or 8-bit grey PNG."


def read_mask(path: Path) -> UInt8[np.ndarray, "height width"]:
    """The ids a palette or 8-bit grey PNG stores.

    Grey of 1, 2 or 4 bits is refused too: decoders, Pillow among them, stretch it to 0-255 (4-bit id 1 reads as 17).

    Raises:
        DataError: no such file, no PNG, damaged, RGB, with alpha, or grey of another depth than 8 bits.
    """
    with opened(path, ("PNG",)) as image:
        _check_kind(path)
        return np.array(image)


def _check_kind(path: Path) -> None:
    with path.open("rb") as file:
        *_, depth, colour = file.read(_HEADER)
    if colour != 3 and (depth, colour) != (8, 0):
        raise DataError(f"{path} is a {depth}-bit {_COLOURS[colour]} PNG, whose pixels are no class ids. {_REMEDY}")


def check_ids(mask: UInt8[np.ndarray, "height width"], path: Path, *, num_classes: int, ignore_index: int) -> None:
    """Refuse ids that are neither a class nor ignored.

    Raises:
        DataError: names the file and up to three of the ids.
    """
    known = np.zeros(256, dtype=bool)
    known[:num_classes] = known[ignore_index] = True
    valid = known[mask]
    if not valid.all():
        strange = [str(number) for number in np.unique(mask[~valid])]
        raise DataError(
            f"{path} holds id{'s' * (len(strange) > 1)} {first_three(strange)}, but dataset.yaml names "
            f"{num_classes} classes (0-{num_classes - 1}) and ignore_index {ignore_index}."
        )


def first_three(names: Sequence[str]) -> str:
    """The first three of a list, and how many more there are."""
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
