"""The tree of Pascal VOC with classes of one's own: palette masks of ids, 255 is the border."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from trainables.data.importers.named import find_names, reader
from trainables.data.importers.source import Asked, Found, Importer
from trainables.data.importers.voc_lists import read_lists


def read_voc_custom(src: Path, asked: Asked) -> Found:
    """Read the names of the classes and the lists; 255 is ignored.

    Raises:
        DataError: no names, or no masks.
    """
    classes = asked.classes or find_names(src)
    draw = partial(reader, numbers={number: number for number in range(len(classes))}, rule="the list of classes")
    listed = read_lists(src, asked, draw)
    return Found(classes, listed.pictures, left_out=listed.left_out)


VOC_CUSTOM = Importer(read_voc_custom, frozenset({"images", "classes"}))
