"""A batch on its way to the device before it is augmented: the source windows in one buffer, for one copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor

from trainables.data.transforms import Cut, Draw


class Windows(NamedTuple):
    """Attributes:
    packed: the windows one after the other, of each the three planes of its image, then its ids.
    draws: what is to be made of each.
    entries: as in `feed.Batch`.
    """

    packed: UInt8[Tensor, " bytes"]
    draws: list[Draw]
    entries: list[int] | None


def pack(cuts: Sequence[Cut], entries: list[int] | None) -> Windows:
    draws = [taken.drawn for taken in cuts]
    packed = torch.empty(sum(map(_num_bytes, draws)), dtype=torch.uint8)
    for place, taken in zip(unpack(packed, draws), cuts, strict=True):
        place.image.copy_(taken.image)
        place.ids.copy_(taken.ids)
    return Windows(packed, draws, entries)


def unpack(packed: UInt8[Tensor, " bytes"], draws: list[Draw]) -> list[Cut]:
    """The windows as they lie in the buffer, without a copy."""
    parts = packed.split([_num_bytes(drawn) for drawn in draws])
    planes = [part.view(4, one.rows.length, one.columns.length) for part, one in zip(parts, draws, strict=True)]
    return [Cut(window[:3], window[3], drawn) for window, drawn in zip(planes, draws, strict=True)]


def _num_bytes(drawn: Draw) -> int:
    return 4 * drawn.rows.length * drawn.columns.length
