"""A batch on its way to the device before it is augmented: the source windows in one buffer, for one copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from trainables.bands import RGB, Bands
from trainables.data.transforms import Cut, Draw


class Windows(NamedTuple):
    """Attributes:
    packed: the planes of all images, one window after the other, then the ids of all.
    draws: what is to be made of each.
    entries: as in `feed.Batch`.
    """

    packed: UInt8[Tensor, " bytes"]
    draws: list[Draw]
    entries: list[int] | None


def pack(cuts: Sequence[Cut], entries: list[int] | None, bands: Bands = RGB) -> Windows:
    draws = [taken.drawn for taken in cuts]
    packed = torch.empty(sum(_lengths(draws, bands)), dtype=torch.uint8)
    for place, taken in zip(unpack(packed, draws, bands), cuts, strict=True):
        place.image.copy_(taken.image)
        place.ids.copy_(taken.ids)
    return Windows(packed, draws, entries)


def unpack(packed: UInt8[Tensor, " bytes"], draws: list[Draw], bands: Bands = RGB) -> list[Cut]:
    """The windows as they lie in the buffer, without a copy."""
    parts = packed.split(_lengths(draws, bands))
    dtype = torch.float32 if bands.is_deep else torch.uint8
    found = []
    for image, ids, drawn in zip(parts[: len(draws)], parts[len(draws) :], draws, strict=True):
        size = drawn.rows.length, drawn.columns.length
        found.append(Cut(image.view(dtype).view(bands.channels, *size), ids.view(*size), drawn))
    return found


def _lengths(draws: list[Draw], bands: Bands) -> list[int]:
    """Bytes of each window's image, then of each one's ids: so images of four bytes a number begin at a fourth."""
    areas = [drawn.rows.length * drawn.columns.length for drawn in draws]
    return [bands.channels * (4 if bands.is_deep else 1) * area for area in areas] + areas
