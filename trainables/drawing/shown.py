"""Pictures of images of any bands: three of them as red, green and blue of 8 bits."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, UInt8

from trainables.bands import Bands

_TAILS = (2.0, 98.0)
"""Percentiles of a picture's band that become 0 and 255."""


def picture(
    image: UInt8[np.ndarray, "height width channels"] | Float32[np.ndarray, "height width channels"], bands: Bands
) -> UInt8[np.ndarray, "height width 3"]:
    """The bands that are shown; those of more than 8 bits are stretched, each by itself."""
    chosen = image[..., list(bands.shown)]
    if not bands.is_deep:
        return np.ascontiguousarray(chosen)
    low, high = np.percentile(chosen, _TAILS, axis=(0, 1))
    levels = (chosen - low) / np.maximum(high - low, np.finfo(np.float32).tiny)
    return np.rint(255 * levels.clip(0, 1)).astype(np.uint8)
