"""Images of any channels and bits as arrays: TIFF by tifffile, colours of 16 bits in a PNG by imagecodecs, else Pillow.

NumPy, Pillow and those two alone: a bundle's `predict.py`, which has none of this package, is given this source.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from trainables.data.headers import ORIENTATION, orientation

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # of PNG's colour types
_MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "I;16": 1}  # of Pillow's, whose numbers are the file's own
_INVERTED, _PALETTE = 0, 3  # photometric interpretations of a TIFF
_NO_DATA = 42113  # GDAL's tag
_TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}
"""By orientation: quarter turns to the left, and whether left and right are then exchanged."""


class Unfit(ValueError):
    """What a file is, and why that is not what is read here; without its name."""


class Found(NamedTuple):
    """What a file holds, from its header.

    Attributes:
        size: height and width as stored.
        alpha: the last channel says how opaque the others are.
        kind: NumPy's name of a number's type.
        turn: 1 to 8 of EXIF; 1: it is upright.
    """

    size: tuple[int, int]
    channels: int
    alpha: bool
    kind: str
    turn: int


def packages(path: Path) -> tuple[str, ...]:
    """Those that this file needs beside NumPy and Pillow."""
    with path.open("rb") as file:
        head = file.read(26)
    if head[:4] in _TIFF:
        return ("tifffile", "imagecodecs")
    return ("imagecodecs",) if _is_deep_png(head) and head[25] != 0 else ()


def describe(path: Path, *, channels: int, scale: float) -> Found:
    """From the header alone.

    Args:
        channels: that it must have, but for alpha, which may be there and is left out.
        scale: see `read_numbers`.

    Raises:
        Unfit: it has others, or another number of bits. Decoders raise what they like.
    """
    return _fitting(_opened(path)[0], channels, scale)


def read_numbers(path: Path, *, channels: int, scale: float) -> np.ndarray:
    """The stored numbers, upright, float32 [height, width, channels]; NaN where a GeoTIFF says that it has no data.

    Args:
        scale: what the numbers are parts of: 255 of 8 bits, more than that of more bits, less of any.

    Raises:
        Unfit: as `describe`. Decoders raise what they like.
    """
    found, decode = _opened(path)
    _fitting(found, channels, scale)
    values = np.asarray(decode(), np.float32).reshape(*found.size, -1)[..., :channels]
    return np.ascontiguousarray(turned(values, found.turn))


def turned(values: np.ndarray, turn: int) -> np.ndarray:
    """An array [height, width, ...] as one sees it, by EXIF's orientation."""
    quarters, mirrored = _TURNS.get(turn, (0, False))
    found = np.rot90(values, quarters)
    return found[:, ::-1] if mirrored else found


def _fitting(found: Found, channels: int, scale: float) -> Found:
    if found.channels != channels and not (found.alpha and found.channels == channels + 1):
        wanted = f"{channels} channel{'s' * (channels > 1)}"
        raise Unfit(f"must have {wanted}, as the data set says, got {found.channels}. Choose them.")
    kind = np.dtype(found.kind)
    bits = 8 * kind.itemsize
    if kind.kind not in "uif" or kind.itemsize > (8 if kind.kind == "f" else 2):
        raise Unfit(f"must hold integers of 8 or 16 bits or floats, got {found.kind}. Convert it.")
    if scale == 255 and found.kind != "uint8":
        remedy = "Rescale it to 0-255, or set scale to what its numbers are parts of, such as 65535"
        raise Unfit(f"must have 8 bits a channel, as scale 255 says, got {found.kind}. {remedy}.")
    if scale > 255 and bits == 8:
        raise Unfit(f"has 8 bits a channel, but scale is {scale:g}. Save it with all its bits, or set scale to 255.")
    return found


def _opened(path: Path) -> tuple[Found, Any]:
    """What the file holds, and a function that decodes it."""
    with path.open("rb") as file:
        head = file.read(26)
        if head[:4] in _TIFF:
            return _tiff(path)
        turn = _png_turn(file) if head.startswith(_PNG) else None
    if _is_deep_png(head):
        return _deep_png(path, head, turn or 1)
    with Image.open(path) as image:
        if image.mode not in _MODES:
            raise Unfit(f"is of Pillow's mode {image.mode!r}, whose numbers are no bands. Save it as grey or RGB.")
        turn = orientation(image) if turn is None else turn
        found = Found((image.height, image.width), _MODES[image.mode], image.mode in ("LA", "RGBA"), "uint8", turn)
    return found, lambda: _by_pillow(path)


def _by_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def _is_deep_png(head: bytes) -> bool:
    return head.startswith(_PNG) and len(head) == 26 and head[24] == 16


def _deep_png(path: Path, head: bytes, turn: int) -> tuple[Found, Any]:
    width, height = struct.unpack(">II", head[16:24])
    colour = head[25]
    found = Found((height, width), _CHANNELS[colour], colour in (4, 6), "uint16", turn)
    return found, lambda: _by_pillow(path) if colour == 0 else _by_imagecodecs(path)


def _by_imagecodecs(path: Path) -> np.ndarray:
    import imagecodecs

    return imagecodecs.png_decode(path.read_bytes())


def _png_turn(file: BinaryIO) -> int:
    exif = Image.Exif()
    exif.load(next((data for kind, data in _chunks(file) if kind == b"eXIf"), b""))
    turn = exif.get(ORIENTATION, 1)
    return turn if turn in _TURNS else 1


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """A PNG's small chunks; what is cut off ends them."""
    file.seek(len(_PNG))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IDAT":
            file.seek(length, 1)
        else:
            yield kind, file.read(length)
        file.seek(4, 1)  # its checksum


def _tiff(path: Path) -> tuple[Found, Any]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        first, *others = file.series
        page = first.keyframe
        if any(
            start + size > file.filehandle.size
            for start, size in zip(page.dataoffsets, page.databytecounts, strict=True)
        ):
            raise ValueError("it is cut off")
        if alike := sum(one.shape == first.shape and not one.keyframe.subfiletype & 5 for one in others):
            raise Unfit(f"must hold one picture, got {1 + alike} of one size. Save the one that counts.")
        if page.photometric in (_INVERTED, _PALETTE):
            raise Unfit(
                f"is {tifffile.PHOTOMETRIC(page.photometric).name}, whose numbers are no bands. Save it as MINISBLACK."
            )
        axes, shape = first.axes, first.shape
        told = page.tags.valueof(_NO_DATA, default=None)
        turn = int(page.tags.valueof(ORIENTATION, default=1))
        alpha = bool(page.extrasamples) and page.extrasamples[-1] in (1, 2)
        kind = first.dtype.name
    bands = [axis for axis in axes if axis not in "YX"]
    if not {"Y", "X"} <= {*axes} or len(bands) > 1:
        raise Unfit(f"must hold bands of rows and columns, got {'x'.join(map(str, shape))} ({axes}). Save it so.")
    order = [axes.index(axis) for axis in ("Y", "X", *bands)]
    found = Found((shape[order[0]], shape[order[1]]), shape[order[2]] if bands else 1, alpha, kind, turn)

    def decode() -> np.ndarray:
        values = tifffile.imread(path, series=0, level=0).reshape(shape).transpose(order)
        numbers = values.astype(np.float32)
        numbers[~np.isfinite(numbers) | (values == _number(told))] = np.nan
        return numbers

    return found, decode


def _number(told: object) -> float:
    """What GDAL writes as text; NaN, which equals nothing, where it is no number."""
    try:
        return float(str(told).strip("\0 "))
    except ValueError:
        return math.nan
