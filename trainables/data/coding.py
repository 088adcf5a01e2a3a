"""Masks that hold something else than 8-bit ids: colours that are classes, ids beyond 255."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int16, UInt8

from trainables.data.colours import Colour, Matched, as_colour, match
from trainables.data.faults import ranges
from trainables.data.images import read_image
from trainables.data.masks import read_ids, refuse_ids, shown
from trainables.errors import DataError

TOLERANCE, UNMATCHED = 0.0, 0.01
LOSSY_TOLERANCE, LOSSY_UNMATCHED = 40.0, 0.05
"""Of JPEG and lossy WebP, where dataset.yaml gives none. JPEG of quality 75 to 90 with halved chroma moves 2 to 4 % of
the pixels of masks with 7 to 21 colours farther than 40, all at edges, and about 1 % nearer to another class's."""

MOST_ID = 65535
_SHOWN = 3  # strange colours in a sentence


class Mask(NamedTuple):
    """What a mask file says.

    Attributes:
        ids: class ids and ignore_index, or, of a set without coding, the ids of the file.
        unmatched: pixels of no colour of dataset.yaml, which are ignored.
    """

    ids: UInt8[np.ndarray, "height width"]
    unmatched: int = 0


@runtime_checkable
class Coding(Protocol):
    """How the pixels of a mask file become class ids."""

    def read(self, path: Path) -> Mask:
        """Class ids and ignore_index alone.

        Raises:
            DataError: the file is damaged or none of these, or holds what no class is.
        """

    def described(self) -> Any:
        """What of it decides over the pixels, for the digest; JSON."""


@dataclass(frozen=True)
class ColourCode:
    """Masks whose colours are classes: RGB, grey, palette or with alpha (which is left out), of any image format.

    A pixel takes the nearest colour within `tolerance`. What is nearer to none is ignored, and a mask with more than
    `unmatched` of it is refused. None: 0 and 1 %, of lossy files 40 and 5 %.
    """

    numbers: Mapping[Colour, int]  # class id or ignore_index of each colour
    ignore_index: int
    tolerance: float | None = None  # largest Euclidean distance in RGB, 0..255
    unmatched: float | None = None  # share of a mask's pixels, in [0, 1]

    def read(self, path: Path) -> Mask:
        """Raises:
        DataError: the file cannot be read, or too many pixels are of no colour.
        """
        tolerance, most = self._limits(path)
        found = match(
            read_image(path),
            table=list(self.numbers),
            numbers=list(self.numbers.values()),
            tolerance=tolerance,
            strange=self.ignore_index,
        )
        unmatched = int(found.pixels[found.distance > tolerance].sum())
        if unmatched > most * found.numbers.size:
            raise DataError(self._refusal(path, found, tolerance, most))
        return Mask(found.numbers, unmatched)

    def described(self) -> Any:
        """The share that is refused decides over no pixel."""
        return {
            "colours": [[*colour, number] for colour, number in self.numbers.items()],
            "tolerance": [TOLERANCE, LOSSY_TOLERANCE] if self.tolerance is None else self.tolerance,
        }

    def _limits(self, path: Path) -> tuple[float, float]:
        """Tolerance and share of a file."""
        usual = (LOSSY_TOLERANCE, LOSSY_UNMATCHED) if _is_lossy(path) else (TOLERANCE, UNMATCHED)
        given = self.tolerance, self.unmatched
        return given[0] if given[0] is not None else usual[0], given[1] if given[1] is not None else usual[1]

    def _refusal(self, path: Path, found: Matched, tolerance: float, most: float) -> str:
        strange = found.distance > tolerance
        share = 100 * found.pixels[strange].sum() / found.numbers.size
        table = list(self.numbers)
        order = sorted(np.flatnonzero(strange), key=lambda one: -found.pixels[one])
        told = [
            f"{shown(as_colour(found.found[one]))} ({100 * found.pixels[one] / found.numbers.size:.2g} %, "
            f"{found.distance[one]:.3g} from {shown(table[found.nearest[one]])})"
            for one in order[:_SHOWN]
        ]
        more = f" and {len(order) - _SHOWN} more colours" if len(order) > _SHOWN else ""
        return (
            f"{path} has {share:.3g} % of its pixels in colours that dataset.yaml does not name, at most "
            f"{100 * most:.3g} % may: {', '.join(told)}{more}. Name them under `colours` or `ignore`, or "
            f"raise `tolerance` (here {tolerance:g}) or `unmatched` ({most:g})."
        )


@dataclass(frozen=True)
class WideIds:
    """Masks of 8- or 16-bit ids, some beyond 255, that are mapped when they are read."""

    numbers: Mapping[int, int]  # class id or ignore_index of each id, 0..65535

    def read(self, path: Path) -> Mask:
        """Raises:
        DataError: the file cannot be read, or holds ids that are not named.
        """
        stored = read_ids(path, deep=True).astype(np.int64)
        inside = (stored >= 0) & (stored <= MOST_ID)
        numbers = self._table[np.where(inside, stored, MOST_ID + 1)]
        if (numbers < 0).any():
            rule = f"dataset.yaml names {ranges(sorted(self.numbers))}. Add them to `ids` or `ignore`"
            refuse_ids(np.unique(stored[numbers < 0]).tolist(), path, rule=rule)
        return Mask(numbers.astype(np.uint8))

    def described(self) -> Any:
        return {"ids": sorted(self.numbers.items())}

    @cached_property
    def _table(self) -> Int16[np.ndarray, " ids"]:
        """The number of every id, -1 for none; its last place is of all that are larger."""
        table = np.full(MOST_ID + 2, -1, np.int16)
        table[list(self.numbers)] = list(self.numbers.values())
        return table


def _is_lossy(path: Path) -> bool:
    """By its first bytes: JPEG, and WebP that may be lossy."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False  # named when it is read
    return head[:2] == b"\xff\xd8" or (head[:4] == b"RIFF" and head[12:16] in (b"VP8 ", b"VP8X"))
