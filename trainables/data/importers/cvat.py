"""CVAT's "Segmentation mask 1.1": the tree of Pascal VOC with labelmap.txt, `name:red,green,blue::` a line."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from trainables.data.images import opened
from trainables.data.importers.colours import Table, as_colour, by_colour, numbered
from trainables.data.importers.foreign import plain_text
from trainables.data.importers.source import IGNORED, Asked, Found, Ids, Importer, Label, Size
from trainables.data.importers.voc_lists import read_lists
from trainables.errors import DataError

_BACKGROUND = (0, 0, 0)


def read_cvat(src: Path, asked: Asked) -> Found:
    """Read labelmap.txt and the lists. A mask is of colours (RGB or palette), or grey of the labels' line numbers.

    Black is background also where labelmap.txt does not name it. Colours that it does not name are ignored.

    Raises:
        DataError: no labelmap.txt, a line of it that is no label, or no masks.
    """
    labels = _labelmap(src / "labelmap.txt")
    named = _BACKGROUND in labels or "background" in labels.values()
    table = labels if named else {_BACKGROUND: "background", **labels}
    draw = partial(_reader, table=table, first=0 if named else 1, tolerance=asked.tolerance)
    listed = read_lists(src, asked, draw)
    classes, palette = numbered(table)
    return Found(classes, listed.pictures, palette, listed.left_out)


def _labelmap(path: Path) -> Table:
    table: Table = {}
    for number, line in enumerate(plain_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *rest = line.rsplit(":", 3)
        colour = as_colour([one.strip() for one in rest[0].split(",")]) if rest else None
        if colour is None or not name.strip():
            raise DataError(f"{path} line {number} must be `name:red,green,blue::`, got {line!r}.")
        if table.setdefault(colour, name.strip()) != name.strip():
            raise DataError(f"{path} line {number} gives {name.strip()} the colour of {table[colour]}. Change one.")
    if not table:
        raise DataError(f"{path} names no label.")
    return table


def _reader(mask: Path, *, table: Table, first: int, tolerance: float | None) -> partial[Label]:
    return partial(_draw, mask=mask, table=table, first=first, tolerance=tolerance)


def _draw(size: Size, *, mask: Path, table: Table, first: int, tolerance: float | None) -> Label:  # noqa: ARG001
    """The size of the image is compared with the mask's afterwards."""
    with opened(mask) as image:
        lines = np.array(image) if image.mode == "L" else None
    if lines is None:
        return by_colour(mask, table, tolerance=tolerance)
    return _by_line(lines, mask, first=first, count=len(numbered(table)[0]) - first)


def _by_line(lines: Ids, mask: Path, *, first: int, count: int) -> Label:
    """Line numbers of labelmap.txt, of which the first label is class `first`."""
    if strange := sorted(set(np.unique(lines).tolist()) - {*range(count), IGNORED}):
        raise DataError(f"{mask} holds {strange[0]}, but labelmap.txt has {count} labels (0-{count - 1}).")
    return Label(np.where(lines == IGNORED, IGNORED, lines + first).astype(np.uint8))


CVAT = Importer(read_cvat, frozenset({"images", "tolerance"}))
