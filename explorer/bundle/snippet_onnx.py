"""Predict one image: python predict.py IMAGE MASK.png. Needs onnxruntime, numpy and pillow, nothing else.

The mask is a palette PNG of class ids, as `heteroakd predict` writes it. In your own code:

    from predict import Network
    ids = Network().predict(image)      # RGB uint8 [height, width, 3] -> class ids uint8 [height, width]
"""

from __future__ import annotations

import itertools
import json
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnxruntime
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import ImageFileDirectory_v2

HERE = Path(__file__).resolve().parent
PAD = np.array([123.675, 116.28, 103.53], np.float32)  # ImageNet's mean colour
ORIENTATION = 274  # tag of EXIF and TIFF


class Network:
    """`student.onnx`; whole images, or windows averaged where they overlap, as the network was scored."""

    def __init__(self, folder: Path = HERE) -> None:
        self.metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        self._session = onnxruntime.InferenceSession(folder / "student.onnx", providers=["CPUExecutionProvider"])
        size = self.metrics["files"]["student.onnx"]["size"]
        self._fixed = None if size.startswith("multiples") else [int(side) for side in size.split("x")]

    def predict(self, image: np.ndarray) -> np.ndarray:
        """Class ids [height, width] of an RGB image, uint8 [height, width, 3]."""
        windows = self.metrics["evaluation"]
        height, width = image.shape[:2]
        rows, columns = height, width
        if windows["mode"] == "slide":
            rows, columns = windows["height"], windows["width"]
        total = np.zeros((len(self.metrics["classes"]), height, width), np.float32)
        count = np.zeros((height, width), np.float32)
        for top, left in itertools.product(
            starts(height, rows, windows["stride"]), starts(width, columns, windows["stride"])
        ):
            place = (slice(top, top + rows), slice(left, left + columns))
            total[(slice(None), *place)] += self._logits(image[place])
            count[place] += 1
        return (total / count).argmax(axis=0).astype(np.uint8)

    def _logits(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        rows, columns = self._fixed or [max(64, side + -side % 32) for side in (height, width)]
        if height > rows or width > columns:
            limit = f"student.onnx takes images of up to {rows}x{columns} pixels, got {height}x{width}"
            raise ValueError(f"{limit}. `heteroakd predict` takes any.")
        padded = np.tile(PAD, (rows, columns, 1))
        padded[:height, :width] = image
        images = np.ascontiguousarray(padded.transpose(2, 0, 1)[None])
        return self._session.run(["logits"], {"images": images})[0][0, :, :height, :width]


def starts(length: int, window: int, stride: float) -> list[int]:
    """Where windows start along one side: every `stride` windows, the last flush with the end."""
    last = max(0, length - window)
    return [*range(0, last, max(1, round(stride * window))), last]


def read(source: str) -> np.ndarray:
    """An image file as one sees it, RGB uint8 [height, width, 3], without its alpha.

    Raises:
        ValueError: it cannot be decoded, or is not of 1 or 3 channels of 8 bits.
    """
    try:
        with Path(source).open("rb") as file:
            if reason := refusal(file):
                raise ValueError(reason.rstrip("."))
            file.seek(0)
            with Image.open(file) as opened:
                if opened.mode.startswith(("I", "F")):
                    raise ValueError(f"must have 8 bits a channel, got mode {opened.mode!r}. Rescale it to 0-255")
                return np.array(upright(opened).convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{source} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


# What follows is the package's own reader, trainables/data/headers.py.


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


def main(arguments: Sequence[str]) -> str | None:
    """Write the mask; what is wrong, if something is."""
    if len(arguments) != 2:
        return "Usage: python predict.py IMAGE MASK.png"
    source, target = arguments
    try:
        image, network = read(source), Network()
        mask = Image.fromarray(network.predict(image))
        palette = bytes(byte for colour in network.metrics["palette"] for byte in colour)
        mask.putpalette(palette.ljust(3 * 256, b"\0"))  # Pillow writes fewer bits for a shorter one
        mask.save(target, format="PNG")
    except (OSError, ValueError) as error:
        return f"Error: {error}"
    return None


if __name__ == "__main__":
    if wrong := main(sys.argv[1:]):
        print(wrong, file=sys.stderr)
        sys.exit(2)
