"""Masks of colours, one a class, with a table of them; the colours may be damaged, as JPEG leaves them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from trainables.data.importers.colours import Table, by_colour, numbered, read_table
from trainables.data.importers.listing import is_image, said, split_of, walked, without_ending
from trainables.data.importers.source import Asked, Found, Importer, Label, LeftOut, Picture, Size
from trainables.errors import DataError

TABLES = (
    *("class_dict.csv", "class_dict_seg.csv", "label_colors.txt", "labelmap.txt", "colours.yaml", "colours.txt"),
    *("colours.csv", "colors.yaml", "colors.txt", "colors.csv", "classes.csv", "classes.yaml", "palette.yaml"),
)
_FOLDERS = (
    *(("images", "masks"), ("images", "labels"), ("images", "annotations"), ("image", "mask"), ("image", "label")),
    *(("imgs", "masks"), ("img", "masks"), ("JPEGImages", "SegmentationClass")),
)
_BESIDE = ("{}_labels", "{}_label", "{}_masks", "{}_mask", "{}annot")  # train and train_labels
_SPLITS = ("train", "val", "valid", "test")
_ENDS = ("", "_mask", "_label", "_labels", "_gt", "_seg", "_L", "-mask", "-label")


def read_rgb(src: Path, asked: Asked) -> Found:
    """Read the table and pair images with masks, by their names; the mask's may have an end such as _mask or _L.

    Where folders are not given they are images and masks (or labels, ...), train and train_labels (...), or both kinds
    lie side by side. A folder train, val, valid or test is a split.

    Raises:
        DataError: no table, no such folders, or no pair of files.
    """
    table = read_table(asked.colours or _table(src))
    classes, palette = numbered(table)
    pictures: list[Picture] = []
    left_out: list[LeftOut] = []
    for images, masks in _folders(src, asked):
        beside = images == masks
        found = {without_ending(path, masks): path for path in walked(masks) if is_image(path)}
        for path in walked(images):
            stem = without_ending(path, images)
            if not is_image(path) or (beside and stem.endswith(_ENDS[1:])):
                continue
            mask = next((found[stem + end] for end in _ENDS[beside:] if stem + end in found), None)
            if mask is None:
                left_out.append(LeftOut(said(path, src), f"has no mask of its name in {said(masks, src)}. Add it."))
                continue
            draw = partial(_draw, mask=mask, table=table, tolerance=asked.tolerance)
            pictures.append(Picture(stem, split_of([images.name, *stem.split("/")[:-1]]), path, draw))
    if not pictures:
        raise DataError(f"{src} holds no image with a mask of its name. Give --images and --masks.")
    return Found(classes, pictures, palette, left_out)


def _table(src: Path) -> Path:
    for name in TABLES:
        if (src / name).is_file():
            return src / name
    raise DataError(f"{src} holds no table of colours ({', '.join(TABLES)}). Give --colours FILE: `name r g b` a line.")


def _folders(src: Path, asked: Asked) -> list[tuple[Path, Path]]:
    """Of images and of masks."""
    if asked.images and asked.masks:
        return [(asked.images, asked.masks)]
    if asked.images or asked.masks:
        raise DataError("--images and --masks belong together, got one of them. Give both.")
    pairs = [(src / one, src / other) for one, other in _FOLDERS if (src / one).is_dir() and (src / other).is_dir()]
    if pairs:
        return pairs[:1]
    beside = [(src / split, src / end.format(split)) for split in _SPLITS for end in _BESIDE]
    return [pair for pair in beside if pair[0].is_dir() and pair[1].is_dir()] or [(src, src)]


def _draw(size: Size, *, mask: Path, table: Table, tolerance: float | None) -> Label:  # noqa: ARG001
    """The size of the image is compared with the mask's afterwards."""
    return by_colour(mask, table, tolerance=tolerance)


RGB = Importer(read_rgb, frozenset({"images", "masks", "colours", "tolerance"}))
