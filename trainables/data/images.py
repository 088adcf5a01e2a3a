"""Image files to RGB arrays. EXIF orientation is ignored, as in the masks: pixels are taken as they are stored."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from trainables.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
_DEEP = ("I", "F")  # first letter of Pillow's modes beyond 8 bits; their conversion to RGB clips at 255


@contextmanager
def opened(path: Path, formats: tuple[str, ...] | None = None) -> Iterator[Image.Image]:
    """A lazily opened image; whatever Pillow raises inside the block becomes a DataError with the file's name.

    Args:
        path: the file.
        formats: Pillow's names of the formats to try; none: all.
    """
    try:
        with _open(path, formats) as image:
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


def _open(path: Path, formats: tuple[str, ...] | None) -> Image.Image:
    """Pillow warns from half its limit on; such an image is taken like any other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=formats)


def image_size(path: Path) -> tuple[int, int]:
    """Height and width from the header alone.

    Raises:
        DataError: no such file, no image, or more than 8 bits a channel.
    """
    with opened(path) as image:
        check_depth(image, path)
        return image.height, image.width


def read_image(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """Decode a file of any 8-bit mode (grey, palette, CMYK, with alpha, ...) to RGB.

    Raises:
        DataError: no such file, no image, damaged, or more than 8 bits a channel.
    """
    with opened(path) as image:
        check_depth(image, path)
        return np.array(image.convert("RGB"))


def check_depth(image: Image.Image, path: object) -> None:
    """Refuse an opened image whose conversion to RGB would not be its picture.

    Raises:
        DataError: more than 8 bits a channel.
    """
    if image.mode.startswith(_DEEP):
        raise DataError(f"{path} must have 8 bits a channel, got mode {image.mode!r}. Rescale it to 0-255.")
