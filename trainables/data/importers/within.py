"""Image files that lie in the files of other tools: as bytes, or as text."""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from trainables.errors import DataError


def from_text(text: str, what: str) -> bytes:
    """Of base64.

    Raises:
        DataError: it is none; the sentence goes on from whose it is.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise DataError(f"has {what} that is no base64") from None


@contextmanager
def pictured(data: bytes, what: str, formats: tuple[str, ...] | None = None) -> Iterator[Image.Image]:
    """An image, lazily; whatever Pillow raises inside the block is one sentence, which goes on from whose it is.

    Raises:
        DataError: it is no image, or one that cannot be decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=formats)
        with image:
            yield image
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        kinds = f" of {', '.join(formats)}" if formats else ""
        raise DataError(f"has {what} that is no image{kinds}, or damaged") from None
