"""What an image file says of itself, before Pillow makes 8-bit RGB of it.

Python and Pillow alone: a bundle's `predict.py`, which has none of this package, is given this source.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any, BinaryIO

from PIL import Image, ImageOps
from PIL.TiffImagePlugin import ImageFileDirectory_v2

ORIENTATION = 274  # tag of EXIF and TIFF


def refusal(file: BinaryIO) -> str | None:
    """Why the picture is not of 1 or 3 channels of 8 bits; None: it is, or its format holds no other.

    Pillow halves 16-bit RGB and drops a TIFF's further bands without a word, and its mode does not tell. Alpha may be
    there: it is left out. Other kinds are refused by `image.mode`, once they are opened.

    Args:
        file: at its start.
    """
    head = file.read(26)
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR" and len(head) == 26:
        return _too_deep(head[24])
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        with suppress(OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error):  # Pillow says it better
            return _tiff_refusal(_pages(file, head))
    return None


def _pages(file: BinaryIO, head: bytes) -> list[Any]:
    """Tags of a TIFF's pages, without those that are small copies or masks of another."""
    tags = ImageFileDirectory_v2(head[: 16 if 43 in head[2:4] else 8])
    pages: list[Any] = []
    places = set()
    while tags.next and tags.next not in places:
        places.add(tags.next)
        file.seek(tags.next)
        tags.load(file)
        if not tags.get(254, 0) & 5:
            pages.append(dict(tags))
    return pages


def _tiff_refusal(pages: list[Any]) -> str | None:
    first = pages[0]
    if deep := _too_deep(max(_numbers(first.get(258, 1)))):
        return deep
    usual = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}.get(first.get(262), 3)  # by photometric interpretation
    channels = first.get(277, usual)
    alpha = channels == usual + 1 and _numbers(first.get(338, 0))[0] in (1, 2)
    if channels != usual and not alpha:
        remedy = "Choose three, and save them as an RGB image"
        return f"must have 3 channels (RGB) or 1 (grey), got {channels}. {remedy}."
    size = first.get(256), first.get(257)
    number = sum((page.get(256), page.get(257)) == size for page in pages)
    if number > 1:
        return f"must hold one picture, got {number} pages of one size. Save the one that counts, as an RGB image."
    return None


def _numbers(value: Any) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _too_deep(bits: int) -> str | None:
    return f"must have 8 bits a channel, got {bits}. Rescale it to 0-255." if bits > 8 else None


def orientation(image: Image.Image) -> int:
    """1 to 8, as EXIF counts them; 1, upright, where nothing or nothing readable is said.

    Of a PNG that is not decoded yet, what stands before its pixels.
    """
    with suppress(OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error):
        found = Image.Image.getexif(image).get(ORIENTATION, 1)  # PngImageFile's own would decode
        return found if found in range(1, 9) else 1
    return 1


def upright(image: Image.Image) -> Image.Image:
    """As one sees it: decoded, and turned as its EXIF says."""
    image.load()  # a TIFF is turned by that
    return ImageOps.exif_transpose(image) if orientation(image) != 1 else image
