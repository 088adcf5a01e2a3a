"""Predict one image: python predict.py IMAGE MASK.png. Needs onnxruntime, numpy and pillow, and for TIFF of other bands
than RGB of 8 bits tifffile and imagecodecs; nothing else.

The mask is a palette PNG of class ids, as `heteroakd predict` writes it. In your own code:

    from predict import Network
    ids = Network().predict(image)      # RGB uint8 [height, width, 3] -> class ids uint8 [height, width]

Where the network was trained on other bands, an image is what its file holds, [height, width, channels].
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

from trainables.data.deep import read_numbers  # `contents.predictor` puts their source here
from trainables.data.headers import refusal, upright

HERE = Path(__file__).resolve().parent


class Network:
    """A graph; whole images, or windows averaged where they overlap, as the network was scored."""

    def __init__(self, folder: Path = HERE, file: str = "student.onnx") -> None:
        """Args:
        file: or student.int8.onnx or student.fp16.onnx, where the bundle has them.
        """
        self.metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        self._session = onnxruntime.InferenceSession(folder / file, providers=["CPUExecutionProvider"])
        self._file, size = file, self.metrics["files"][file]["size"]
        bands = self.metrics["bands"]
        self._mean = (np.array(bands["mean"]) * bands["scale"]).astype(np.float32)  # normalises to 0
        self._hole = np.rint(self._mean) if bands["scale"] == 255 else self._mean
        self._fixed = None if size.startswith("multiples") else [int(side) for side in size.split("x")]

    def predict(self, image: np.ndarray) -> np.ndarray:
        """Class ids [height, width] of an image [height, width, channels], such as RGB in uint8."""
        if self.metrics["gives"] == "ids":
            return self._run(image)
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
            total[(slice(None), *place)] += self._run(image[place])
            count[place] += 1
        return (total / count).argmax(axis=0).astype(np.uint8)

    def _run(self, image: np.ndarray) -> np.ndarray:
        """What the graph gives: logits [classes, height, width], or class ids [height, width]."""
        height, width = image.shape[:2]
        rows, columns = self._fixed or [max(64, side + -side % 32) for side in (height, width)]
        if height > rows or width > columns:
            limit = f"{self._file} takes images of up to {rows}x{columns} pixels, got {height}x{width}"
            raise ValueError(f"{limit}. `heteroakd predict` takes any.")
        padded = np.tile(self._mean, (rows, columns, 1))
        padded[:height, :width] = np.where(np.isnan(image), self._hole, image)  # NaN: a GeoTIFF has no data
        if self.metrics["layout"] == "nchw":
            padded = padded.transpose(2, 0, 1)
        elif self.metrics["bands"]["scale"] == 255:
            padded = np.rint(padded).astype(np.uint8)
        return self._session.run(None, {"images": np.ascontiguousarray(padded[None])})[0][0, ..., :height, :width]


def starts(length: int, window: int, stride: float) -> list[int]:
    """Where windows start along one side: every `stride` windows, the last flush with the end."""
    last = max(0, length - window)
    return [*range(0, last, max(1, round(stride * window))), last]


def read(source: str, *, channels: int = 3, scale: float = 255.0) -> np.ndarray:
    """An image file as one sees it: RGB uint8 [height, width, 3] without its alpha, or the numbers of other bands.

    Raises:
        ValueError: it cannot be decoded, or is not of such channels and bits.
    """
    try:
        if (channels, scale) != (3, 255):
            return read_numbers(Path(source), channels=channels, scale=scale)
        with Path(source).open("rb") as file:
            if reason := refusal(file):
                raise ValueError(reason)
            file.seek(0)
            with Image.open(file) as opened:
                if opened.mode.startswith(("I", "F")):
                    raise ValueError(f"must have 8 bits a channel, got mode {opened.mode!r}. Rescale it to 0-255")
                return np.array(upright(opened).convert("RGB"))
    except ImportError as error:
        raise ValueError(f"{source} cannot be read without {error.name}. pip install tifffile imagecodecs") from None
    except Exception as error:  # decoders raise many things
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise ValueError(f"{source} cannot be read: {reason}.") from None


def main(arguments: Sequence[str]) -> str | None:
    """Write the mask; what is wrong, if something is."""
    if len(arguments) != 2:
        return "Usage: python predict.py IMAGE MASK.png"
    source, target = arguments
    try:
        network = Network()
        bands = network.metrics["bands"]
        image = read(source, channels=bands["channels"], scale=bands["scale"])
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
