"""Mask files to class ids, never through a colour conversion: ids [0, 1, 2] must not become [0, 38, 75]."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, Integer, UInt8
from PIL import Image, TiffImagePlugin

from trainables.data.colours import Colour, colours_of
from trainables.data.faults import first_three
from trainables.data.headers import upright
from trainables.data.images import opened, read_image
from trainables.errors import DataError

SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff"})
"""Of the formats that can hold ids."""

_PNG = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}  # PNG specification, IHDR colour type
_MODES = {  # Pillow's, of the other formats
    "1": "1-bit grey",
    "L": "8-bit grey",
    "P": "8-bit palette",
    "LA": "8-bit grey with alpha",
    "RGB": "8-bit RGB",
    "RGBA": "8-bit RGBA",
    "I;16": "16-bit grey",
    "I;16B": "16-bit grey",
    "I": "32-bit grey",
    "F": "32-bit floating-point",
}
_HOLD_IDS = ("PNG", "BMP", "TIFF")
_FORMATS = (*_HOLD_IDS, "JPEG", "WEBP", "GIF")
_HEADER = 26  # bytes up to IHDR's depth and colour type
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF tags, a value
_DEEP = ("16-bit grey", "32-bit grey")
_REMEDY = "Save class ids as a palette or 8-bit grey PNG."
_SHOWN = 5  # colours or ids of a mask in a sentence


def read_mask(path: Path, *, deep: bool = False) -> UInt8[np.ndarray, "height width"]:
    """The ids a palette or 8-bit grey file stores, upright as its image is, should it have an orientation of its own.

    Grey of 1, 2 or 4 bits is refused too: decoders, Pillow among them, stretch it to 0-255 (4-bit id 1 reads as 17).

    Args:
        path: a PNG, BMP or TIFF.
        deep: take ids up to 255 from 16-bit grey too.

    Raises:
        DataError: no such file, of another format, damaged, RGB, with alpha, or grey of another depth than 8 bits.
    """
    stored = read_ids(path, deep=deep)
    if stored.dtype == np.uint8:
        return stored
    if above := np.unique(stored[(stored < 0) | (stored > 255)]).tolist():
        shown = ", ".join(map(str, above[:_SHOWN]))
        raise DataError(f"{path} holds ids beyond 255 ({shown}). Say in dataset.yaml, under `ids`, what each is.")
    return stored.astype(np.uint8)


def read_ids(path: Path, *, deep: bool) -> Integer[np.ndarray, "height width"]:
    """As `read_mask`, of any size; 8-bit files as uint8.

    Raises:
        DataError: as `read_mask`.
    """
    with opened(path, ("PNG",) if path.suffix.lower() == ".png" else _FORMATS) as image:
        _check_kind(path, image, deep=deep)
        return np.array(upright(image))


def mask_kind(path: Path) -> str:
    """Depth and colour type, such as "8-bit palette"; of other formats than PNG with the format.

    Raises:
        DataError: it cannot be opened.
    """
    with opened(path, _FORMATS) as image:
        kind = _kind(path, image)
        return kind if image.format == "PNG" else f"{kind} {image.format}"


def _kind(path: Path, image: Image.Image) -> str:
    if image.format == "PNG":
        depth, colour = _header(path)
        return f"{depth}-bit {_PNG[colour]}"
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.mode == "L":  # Pillow stretches and turns these
        bits = image.tag_v2.get(_BITS, 1)
        depth = max(bits) if isinstance(bits, tuple) else bits
        kind = "grey, 0 is white," if image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else "grey"
        return f"{depth}-bit {kind}"
    return _MODES.get(image.mode, image.mode)


def _check_kind(path: Path, image: Image.Image, *, deep: bool) -> None:
    kind = _kind(path, image)
    holds_ids = kind == "8-bit grey" or kind.endswith("palette") or (deep and kind in _DEEP)  # no palette is stretched
    if image.format not in _HOLD_IDS or not holds_ids:
        raise DataError(f"{path} is a {kind} {image.format}, whose pixels are no class ids. {_remedy(path, kind)}")
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.n_frames > 1:
        raise DataError(f"{path} must hold one picture, got {image.n_frames}. {_REMEDY}")


def _remedy(path: Path, kind: str) -> str:
    if kind in _DEEP:
        return f"{_REMEDY} Or say in dataset.yaml what its ids are, such as `ids: {{{_ids_of(path)}}}`."
    with suppress(DataError):
        return f"{_REMEDY} Or, if its colours are classes, name them in dataset.yaml: `colours: {{{_named(path)}}}`."
    return _REMEDY


def _named(path: Path) -> str:
    """The commonest colours of a mask, ready for dataset.yaml."""
    found = colours_of(read_image(path))
    told = [f"NAME: {shown(colour)}" for colour, _ in found.commonest(_SHOWN)]
    return ", ".join([*told, *(["..."] if len(found.pixels) > _SHOWN else [])])


def _ids_of(path: Path) -> str:
    found = np.unique(read_ids(path, deep=True)).tolist()
    return ", ".join([*(f"{number}: NAME" for number in found[:_SHOWN]), *(["..."] if len(found) > _SHOWN else [])])


def shown(colour: Colour) -> str:
    """As it is written in dataset.yaml."""
    return f"[{colour[0]}, {colour[1]}, {colour[2]}]"


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
        refuse_ids(np.unique(mask[~valid]).tolist(), path, rule=rule)


def refuse_ids(strange: list[int], path: Path, *, rule: str) -> None:
    """Raises:
    DataError: names the file and up to three of the ids.
    """
    raise DataError(f"{path} holds id{'s' * (len(strange) > 1)} {first_three(list(map(str, strange)))}, but {rule}.")
