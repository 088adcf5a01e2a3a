"""Image files to RGB arrays, upright as one sees them: turned as their EXIF says, in training as in `predict`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from trainables.data.headers import orientation, refusal, upright
from trainables.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
_DEEP = ("I", "F")  # first letter of Pillow's modes beyond 8 bits; their conversion to RGB clips at 255
_TURNED = (5, 6, 7, 8)  # orientations under which width becomes height
_CLEAR = ("RGBA", "RGBa", "LA", "La", "PA")


class OtherDepth(DataError):
    """Other channels or more bits than RGB of 8 bits has."""


class Header(NamedTuple):
    """What an image is, from its header alone.

    Attributes:
        size: height and width of the upright picture.
        stored: those of the file's pixels.
        orientation: 1 to 8 of EXIF; 1: they are upright.
        alpha: whether it has an alpha channel, which is left out.
        kind: channels and type of the numbers, such as "4 x uint16"; empty of RGB of 8 bits.
    """

    size: tuple[int, int]
    stored: tuple[int, int]
    orientation: int
    alpha: bool
    kind: str = ""


@contextmanager
def opened(path: Path, formats: tuple[str, ...] | None = None) -> Iterator[Image.Image]:
    """A lazily opened image; whatever Pillow raises inside the block becomes a DataError with the file's name.

    Args:
        path: the file.
        formats: Pillow's names of the formats to try; none: all, of pictures of 8 bits and 1 or 3 channels.
    """
    try:
        with path.open("rb") as file:
            if formats is None:
                check_header(file, path)
            with _open(file, formats) as image:
                if formats is None:
                    check_mode(image, path)
                yield image
    except DataError:
        raise
    except UnidentifiedImageError:
        kind = "/".join(formats) if formats else "image"
        raise DataError(f"{path} is no readable {kind} file. Replace it.") from None
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Was it removed since the data set was opened?") from None
    except Image.DecompressionBombError:
        assert Image.MAX_IMAGE_PIXELS is not None  # else nothing is too large
        raise DataError(
            f"{path} has more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} million pixels, which is more than Pillow "
            "opens. Cut it into tiles."
        ) from None
    except (OSError, SyntaxError, ValueError) as error:  # SyntaxError: broken PNG chunk
        raise DataError(f"{path} cannot be decoded: {str(error).rstrip('.')}. Replace it.") from None


def _open(file: BinaryIO, formats: tuple[str, ...] | None) -> Image.Image:
    """Pillow warns from half its limit on; such an image is taken like any other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(file, formats=formats)


def header(path: Path) -> Header:
    """Nothing is decoded. An orientation that a PNG holds behind its pixels is not seen, but by `read_image`.

    Raises:
        DataError: no such file, no image, or other than 1 or 3 channels of 8 bits.
    """
    with opened(path) as image:
        width, height = image.size
        turn = orientation(image)
        if isinstance(image, TiffImagePlugin.TiffImageFile):  # some releases of Pillow give the upright size
            width, height = image.tag_v2[256], image.tag_v2[257]
        size = (width, height) if turn in _TURNED else (height, width)
        alpha = image.mode in _CLEAR or "transparency" in image.info
        return Header(size, (height, width), turn, alpha)


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of the upright picture, from the header alone; raises as `header`."""
    return header(path).size


def read_image(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """Decode a file of any 8-bit mode (grey, palette, CMYK, with alpha, ...) to upright RGB. Alpha is left out.

    Raises:
        DataError: no such file, no image, damaged, or other than 1 or 3 channels of 8 bits.
    """
    with opened(path) as image:
        return np.array(upright(image).convert("RGB"))


def check_header(file: BinaryIO, name: object) -> None:
    """Refuse a file whose conversion to RGB would not be its picture; leaves it at its start.

    Raises:
        DataError: more than 8 bits a channel, or other channels than RGB, grey and alpha.
    """
    file.seek(0)
    reason = refusal(file)
    file.seek(0)
    if reason:
        raise OtherDepth(f"{name} {reason}")


def check_mode(image: Image.Image, name: object) -> None:
    """As `check_header`, of what Pillow has made of it; for formats whose header is not looked into.

    Raises:
        DataError: more than 8 bits a channel.
    """
    if image.mode.startswith(_DEEP):
        raise OtherDepth(f"{name} must have 8 bits a channel, got mode {image.mode!r}. Rescale it to 0-255.")
