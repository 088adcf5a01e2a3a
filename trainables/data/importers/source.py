"""What an importer finds in the tree of another tool, and what it makes of the annotation of one image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from jaxtyping import UInt8

from trainables.drawing.palette import Colour

IGNORED, UNCOVERED = 255, 254
"""What a label holds beside the numbers of classes: not to be learned; and what no annotation covers."""
MOST_CLASSES = 254

Size = tuple[int, int]
"""Height, width."""
Ids = UInt8[np.ndarray, "height width"]


class LeftOut(NamedTuple):
    """What is not in the imported set.

    Attributes:
        file: which file, relative to the source where it lies in it.
        reason: the sentence, without the file.
    """

    file: str
    reason: str


@dataclass(frozen=True)
class Label:
    """One image's label.

    Attributes:
        ids: number of a class in `Found.classes`, UNCOVERED or IGNORED.
        objects: annotations drawn, by number of class; empty for a source of masks.
        overlaps: pixels that annotations of more than one class cover.
        notes: what else was seen, and how often, such as pixels of no known colour.
        left_out: annotations that could not be drawn.
    """

    ids: Ids
    objects: Counter[int] = field(default_factory=Counter)
    overlaps: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Picture:
    """One labelled image.

    Attributes:
        name: path in the source without ending: what its files are called by, and what it is put into a split by.
        split: train, val or test; None: the source does not say.
        image: the file, or what gives a file's bytes.
        draw: its label, for the (height, width) of the upright image; raises DataError for one that cannot be read.
    """

    name: str
    split: str | None
    image: Path | Callable[[], bytes]
    draw: Callable[[Size], Label]


@dataclass(frozen=True)
class Found:
    """A source as its index describes it; no image was opened.

    Attributes:
        classes: their names.
        pictures: the labelled images.
        palette: of the classes; None: the source has none.
        left_out: what the index names and is not there.
        notes: sentences about the source as a whole.
    """

    classes: tuple[str, ...]
    pictures: list[Picture]
    palette: tuple[Colour, ...] | None = None
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """What the user says of a source; each kind reads some of it.

    Attributes:
        images, masks: the folders, where the source does not say where they are.
        classes: names, in the order of their ids.
        colours: the table of colours.
        tolerance: the largest Euclidean distance in RGB at which a pixel is of a class's colour.
        crowd: whether crowds are ignored or drawn as their class.
        columns: of the image and of the label.
    """

    images: Path | None = None
    masks: Path | None = None
    classes: tuple[str, ...] | None = None
    colours: Path | None = None
    tolerance: float | None = None
    crowd: Literal["ignore", "draw"] | None = None
    columns: tuple[str, str] | None = None


class Read(Protocol):
    """Reads a source's index."""

    def __call__(self, src: Path, asked: Asked) -> Found:
        """Raises:
        DataError: the index cannot be read.
        """
        ...


class Importer(NamedTuple):
    """One kind of source.

    Attributes:
        read: reads its index.
        options: the fields of `Asked` that it reads.
        draws: whether its annotations are shapes, beside which there is background.
    """

    read: Read
    options: frozenset[str] = frozenset()
    draws: bool = False
