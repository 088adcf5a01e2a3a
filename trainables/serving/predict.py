"""A bundle's network on any image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageFile

from trainables.bands import RGB, Bands
from trainables.config import TrialConfig
from trainables.data import banded
from trainables.data.headers import upright
from trainables.data.images import check_header, check_mode, read_image
from trainables.device import pick_device
from trainables.drawing.palette import Colour, distinct
from trainables.drawing.shown import picture
from trainables.errors import CheckpointError, DataError, ModelError
from trainables.kept import atomic, checkpoint
from trainables.models.segmodel import SegModel
from trainables.scoring.evaluate import predict
from trainables.serving.samples import here, network

Ids = UInt8[np.ndarray, "height width"]
Pixels = banded.Pixels
_NAME = "The image"


@dataclass(frozen=True)
class Predictor:
    """A trained network and how it is to be asked: whole or in windows, on which device.

    Attributes:
        classes: names, in the order of their ids.
        palette: a colour each.
        bands: what its images hold.
    """

    config: TrialConfig
    classes: tuple[str, ...]
    palette: tuple[Colour, ...]
    _network: SegModel
    bands: Bands = RGB

    @classmethod
    def open(cls, bundle: Path, *, weights: str = "student") -> Predictor:
        """Read a bundle's best.yaml and weights; nothing is unpickled.

        Args:
            bundle: the folder that `heteroakd export` wrote.
            weights: student, or peer for the other student of a collaborative trial.

        Raises:
            CheckpointError: no bundle, or weights of another network.
            HeteroakdError: its config or network is not understood.
        """
        file, config_file = bundle / f"{weights}.safetensors", bundle / "best.yaml"
        if weights == "peer" and config_file.is_file() and not file.is_file():
            raise CheckpointError(
                f"{bundle} has no {file.name}: only a collaborative trial has one. Leave --weights out."
            )
        if not file.is_file() or not config_file.is_file():
            raise CheckpointError(
                f"{bundle} is no bundle: it needs best.yaml and {file.name}. `heteroakd export` makes one."
            )
        config = here(TrialConfig.load(config_file))
        tensors, meta = checkpoint.load(file)
        classes, palette = _labels(meta, file)
        bands = _bands(meta, file)
        name = str(meta.get("model", config.student))
        try:
            built = network(config, name, tensors, len(classes), channels=bands.channels)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{file} does not hold the weights of {meta.get('model')!r}: {reason}") from None
        return cls(config, classes, palette, built, bands)

    @torch.no_grad()
    def predict(self, image: Pixels) -> Ids:
        """Class ids of an image as it is stored, such as RGB 0-255.

        Raises:
            ModelError: the network does not take an image of this size.
        """
        device = pick_device(self.config)
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].to(device)
        try:
            logits = predict(self._network, pixels, self.config, self.bands)
        except RuntimeError as error:
            height, width, _ = image.shape
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"{self.config.student!r} cannot take an image of {width}x{height}: {reason}") from None
        return logits[0].argmax(dim=0).to(torch.uint8).cpu().numpy()

    def read(self, image: str | os.PathLike[str] | Image.Image | np.ndarray) -> Pixels:
        """An image in any form that people hold it in, as one sees it.

        Raises:
            DataError: no image, damaged, or other channels or bits than the network was trained on.
            MissingExtra: what reads such a file is not installed.
        """
        if self.bands.is_photo:
            return pixels(image)
        if isinstance(image, (str, os.PathLike)):
            return banded.read(Path(image).expanduser(), self.bands)
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != self.bands.channels:
            got = f"an array of {'x'.join(map(str, image.shape))}" if isinstance(image, np.ndarray) else type(image)
            wanted = f"a file or an array of height x width x {self.bands.channels}"
            raise DataError(f"An image must be {wanted}, of the numbers that its file holds, got {got}.")
        return image.astype(np.float32 if self.bands.is_deep else np.uint8, casting="same_kind")

    def picture(self, image: Pixels) -> UInt8[np.ndarray, "height width 3"]:
        """As it is shown."""
        return picture(image, self.bands)


def pixels(image: str | os.PathLike[str] | Image.Image | np.ndarray) -> UInt8[np.ndarray, "height width 3"]:
    """An image in any form that people hold it in, as one sees it.

    Raises:
        DataError: as `read_image`; or an array that is not uint8 [height, width, 3].
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            shape = "x".join(map(str, image.shape))
            raise DataError(
                f"An image's array must be uint8 of height x width x 3, got {image.dtype} of {shape or 'no shape'}. "
                "Scale it to 0-255, or give a PIL image, which may be grey."
            )
        return image
    if isinstance(image, Image.Image):
        try:
            return _upright(image)
        except (OSError, SyntaxError) as error:  # one that was opened is only now decoded
            raise DataError(f"{_NAME} cannot be decoded: {str(error).rstrip('.')}. Replace it.") from None
    if isinstance(image, (str, os.PathLike)):
        return read_image(Path(image).expanduser())
    raise DataError(f"An image must be a path, a PIL image or an array, got {type(image).__name__}.")


def _upright(image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    """Of an image that is open its file is looked into, too: Pillow's mode does not tell how many bits there were."""
    check_mode(image, _NAME)
    if isinstance(image, ImageFile.ImageFile):
        with _file_of(image) as file:
            if file is not None:
                check_header(file, _NAME)
    return np.array(upright(image).convert("RGB"))


@contextmanager
def _file_of(image: ImageFile.ImageFile) -> Iterator[BinaryIO | None]:
    """The file that an image was opened from, left where it stood; None where it is gone."""
    file: Any = image.fp
    if file is not None and not getattr(file, "closed", False):
        place = file.tell()
        yield file
        file.seek(place)
    elif image.filename and Path(os.fsdecode(image.filename)).is_file():
        with Path(os.fsdecode(image.filename)).open("rb") as again:
            yield again
    else:
        yield None


@atomic.outside_a_sweep()
def save_mask(ids: Ids, palette: tuple[Colour, ...], path: Path) -> None:
    """An 8-bit palette PNG of class ids, which is what data sets here hold as labels.

    Raises:
        Interrupted: the disk is full.
    """
    mask = Image.fromarray(ids)
    mask.putpalette(bytes(byte for colour in palette for byte in colour).ljust(3 * 256, b"\0"))  # fewer: fewer bits
    atomic.write(path, lambda part: mask.save(part, format="PNG"))


def _labels(meta: dict[str, object], file: Path) -> tuple[tuple[str, ...], tuple[Colour, ...]]:
    classes = meta.get("classes")
    if not isinstance(classes, list) or not classes:
        raise CheckpointError(f"{file} does not say its classes. Export it again.")
    return tuple(map(str, classes)), _colours(meta.get("palette"), len(classes)) or distinct(len(classes))


def _bands(meta: dict[str, object], file: Path) -> Bands:
    try:
        return Bands.of(meta.get("bands"))
    except ValueError:
        raise CheckpointError(f"{file} does not say its bands as we write them. Export it again.") from None


def _colours(told: object, count: int) -> tuple[Colour, ...]:
    """The file's own colours, or none where they are not one [red, green, blue] in 0..255 for each class."""
    if not isinstance(told, list) or len(told) != count or not all(map(_is_colour, told)):
        return ()
    return tuple(map(tuple, told))


def _is_colour(told: object) -> bool:
    return isinstance(told, list) and len(told) == 3 and all(type(level) is int and 0 <= level <= 255 for level in told)
