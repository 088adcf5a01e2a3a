"""Image files by a data set's bands: RGB of 8 bits as it always was, all else as the numbers that are stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from trainables.bands import Bands
from trainables.data import deep, images
from trainables.data.images import Header, OtherDepth
from trainables.errors import DataError, HeteroakdError
from trainables.extras import need

Pixels = UInt8[np.ndarray, "height width channels"] | Float32[np.ndarray, "height width channels"]
_DECLARE = "Or say in dataset.yaml what it holds: channels, scale."


def header(path: Path, bands: Bands) -> Header:
    """Nothing is decoded.

    Raises:
        DataError: no such file, no image, or other channels or bits than `bands` says.
        MissingExtra: what reads such a file is not installed.
    """
    with _in_words(path, bands):
        if bands.is_photo:
            return images.header(path)
        found = deep.describe(path, channels=bands.channels, scale=bands.scale)
    turned = found.size[::-1] if found.turn > 4 else found.size
    kind = f"{found.channels} x {found.kind}"
    return Header(turned, found.size, found.turn, found.alpha and found.channels > bands.channels, kind)


def read(path: Path, bands: Bands) -> Pixels:
    """Decode to an upright picture: uint8, or float32 where the scale is not 255. What holds no data has the mean.

    Raises:
        DataError: as `header`, or it is damaged.
        MissingExtra: as `header`.
    """
    if bands.is_photo:
        with _in_words(path, bands):
            return images.read_image(path)
    values = numbers(path, bands)
    if np.isnan(values).any():
        values = np.where(np.isnan(values), np.array(bands.fill or [0.0] * bands.channels, np.float32), values)
    return values if bands.is_deep else values.astype(np.uint8)


def numbers(path: Path, bands: Bands) -> Float32[np.ndarray, "height width channels"]:
    """As `read`, with NaN where a file says that it holds no data.

    Raises:
        DataError, MissingExtra: as `read`.
    """
    with _in_words(path, bands):
        if bands.is_photo:
            return images.read_image(path).astype(np.float32)
        return deep.read_numbers(path, channels=bands.channels, scale=bands.scale)


@contextmanager
def _in_words(path: Path, bands: Bands) -> Iterator[None]:
    """Whatever a decoder raises becomes a DataError with the file's name."""
    try:
        if not bands.is_photo:
            need(*deep.packages(path))
        yield
    except OtherDepth as error:
        raise DataError(f"{error} {_DECLARE}") from None
    except HeteroakdError:
        raise
    except deep.Unfit as error:
        raise DataError(f"{path} {error}") from None
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Was it removed since the data set was opened?") from None
    except Exception as error:  # decoders of many formats raise many things
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise DataError(f"{path} cannot be decoded: {reason}. Replace it.") from None
