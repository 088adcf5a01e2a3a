"""The tree of Pascal VOC, whoever wrote it: masks, images, and lists that say the splits."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from trainables.data.importers.foreign import plain_text
from trainables.data.importers.listing import Images, is_image, said, split_in, walked, without_ending
from trainables.data.importers.source import Asked, Label, LeftOut, Picture, Size
from trainables.errors import DataError

LISTS = "ImageSets/Segmentation"
_BEFORE_MASK = re.compile(r"\s+/SegmentationClass")
_MASKS = ("SegmentationClass", "SegmentationClassPNG")


class Listed(NamedTuple):
    """The labelled images of a tree, and what its lists name in vain."""

    pictures: list[Picture]
    left_out: list[LeftOut]


def read_lists(src: Path, asked: Asked, draw: Callable[[Path], Callable[[Size], Label]]) -> Listed:
    """Masks with their images; without lists, all masks.

    Args:
        draw: of a mask, what reads it.

    Raises:
        DataError: no masks, or an image in the lists of two splits.
    """
    folder = next((src / name for name in _MASKS if (src / name).is_dir()), None)
    if folder is None:
        raise DataError(
            f"{src} has no {' or '.join(_MASKS)}: it is no tree of Pascal VOC. Give the folder that holds it."
        )
    masks = {without_ending(path, folder): path for path in walked(folder) if is_image(path)}
    own = [src / name for name in ("JPEGImages", "images", "Images") if (src / name).is_dir()]
    images = Images([asked.images] if asked.images else own)
    listed = _listed(src) or dict.fromkeys(masks)
    pictures, left_out = [], []
    for name, split in listed.items():
        if name not in masks:
            left_out.append(LeftOut(name, f"is in {LISTS}, but has no mask in {folder.name}. Add it."))
            continue
        try:
            image = images.find(name)
        except DataError as error:
            left_out.append(LeftOut(said(masks[name], src), f"has no image: {name} {error}"))
            continue
        pictures.append(Picture(name, split, image, draw(masks[name])))
    return Listed(pictures, left_out)


def _listed(src: Path) -> dict[str, str | None]:
    """The split of each name. A list that speaks of no split, such as default.txt or trainval.txt, gives way."""
    found: dict[str, str | None] = {}
    for path in sorted((src / LISTS).glob("*.txt")):
        split = split_in(path.stem)
        for line in plain_text(path).splitlines():
            if not line.strip():
                continue
            name = _name(line)
            before = found.get(name)
            if before and split and before != split:
                raise DataError(f"{path} names {name}, which is in {before}, too. Keep it in one split.")
            found[name] = split or before
    return found


def _name(line: str) -> str:
    """What a line says: `NAME`, `"NAME"` where it has blanks, or `/JPEGImages/NAME.jpg /SegmentationClass/NAME.png`."""
    image = _BEFORE_MASK.split(line.strip(), maxsplit=1)[0].strip('"').removeprefix("/JPEGImages/")
    return image[: -len(Path(image).suffix)] if is_image(Path(image)) else image
