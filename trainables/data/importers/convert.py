"""One image of a source made into the two files of the `folder` layout."""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from trainables.data.headers import refusal, upright
from trainables.data.images import SUFFIXES, read_image
from trainables.data.importers.listing import said
from trainables.data.importers.source import IGNORED, Ids, Label, LeftOut, Picture, Size
from trainables.data.importers.target import Target
from trainables.data.importers.within import pictured
from trainables.data.masks import count_ids
from trainables.drawing.palette import Colour
from trainables.errors import DataError

_BORDER = (224, 224, 192)  # what VOC shows ignored pixels in
_ENDINGS = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp"}
_SAY_SPLIT = frozenset({"training", "valid", "validation", "testing"})


class Classes(NamedTuple):
    """The classes of the set, and the id of each number of a source's label."""

    names: tuple[str, ...]
    palette: tuple[Colour, ...]
    ids: UInt8[np.ndarray, " numbers"]


@dataclass(frozen=True)
class Done:
    """What became of one image.

    Attributes:
        split: of the set.
        label: as it was drawn; None: the image is left out.
        places: of its two files, in the set.
        counts: pixels of each 8-bit id.
        placed: its files by what was done with them.
        left_out: the image, or annotations of it.
    """

    split: str
    label: Label | None = None
    places: tuple[str, ...] = ()
    counts: Int64[np.ndarray, " ids"] | None = None
    placed: Counter[str] = field(default_factory=Counter)
    left_out: tuple[LeftOut, ...] = ()


def convert(split: str, picture: Picture, *, target: Target, classes: Classes, src: Path) -> Done:
    """Decode the image, draw its label and write both, where they are not there yet; a fault leaves it out."""
    try:
        size, ending = looked_at(picture)
        label = drawn(picture, size)
    except DataError as error:
        file = called(picture, src)
        return Done(split, left_out=(LeftOut(file, str(error).removeprefix(f"{picture.image} ")),))
    ids = classes.ids[label.ids]
    name = stem(picture, split)
    image, mask = f"images/{split}/{name}{ending}", f"labels/{split}/{name}.png"
    how: str
    if isinstance(picture.image, Path):
        how = target.bring(image, picture.image)
    else:
        how = "written" if target.put(image, picture.image()) else "kept"
    drew = "written" if target.put(mask, _png(ids, classes.palette)) else "kept"
    placed = Counter([f"images {how}", f"labels {drew}"])
    return Done(split, label, (image, mask), count_ids(ids), placed, label.left_out)


def stem(picture: Picture, split: str) -> str:
    """Folders become part of the name, but for those that say the split."""
    *folders, name = [part for part in picture.name.split("/") if part not in ("", ".", "..")]
    says = {*_SAY_SPLIT, split} if picture.split else set()
    return "_".join([*(part for part in folders if part.lower() not in says), name])


def called(picture: Picture, src: Path) -> str:
    """How the report names it."""
    return said(picture.image, src) if isinstance(picture.image, Path) else picture.name


def looked_at(picture: Picture) -> tuple[Size, str]:
    """(height, width) of the decoded image, upright, and the ending of its file.

    Raises:
        DataError: it cannot be read, or is of a format that the layout does not know.
    """
    if not isinstance(picture.image, Path):
        return _within(picture.image())
    if picture.image.suffix.lower() not in SUFFIXES:
        raise DataError(f"must end in {', '.join(sorted(SUFFIXES))}, got {picture.image.suffix!r}. Convert it.")
    height, width, _ = read_image(picture.image).shape
    return (height, width), picture.image.suffix


def drawn(picture: Picture, size: Size) -> Label:
    """Raises:
    DataError: the label cannot be read, or is of another size than the image.
    """
    label = picture.draw(size)
    if label.ids.shape != size:
        height, width = label.ids.shape
        shown = f"is {size[1]}x{size[0]} as one sees it, but its label is {width}x{height}"
        raise DataError(f"{shown}. Both must have one size.")
    return label


def _within(data: bytes) -> tuple[Size, str]:
    """Of a file that the source holds in another one."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        if reason := refusal(file):
            raise DataError(reason)
    with pictured(data, "an image", tuple(_ENDINGS)) as image:
        width, height = upright(image).size
        return (height, width), _ENDINGS[str(image.format)]


def _png(ids: Ids, palette: Sequence[Colour]) -> bytes:
    colours = [*palette, *[(0, 0, 0)] * (IGNORED - len(palette)), _BORDER]
    image = Image.fromarray(ids)
    image.putpalette([channel for colour in colours for channel in colour])
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()
