"""Roboflow's "Semantic Segmentation Masks": NAME_mask.png beside NAME.jpg, and _classes.csv, `Pixel Value, Class`."""

from __future__ import annotations

import csv
from pathlib import Path

from trainables.data.importers.foreign import plain_text
from trainables.data.importers.listing import is_image, said, split_in
from trainables.data.importers.named import reader
from trainables.data.importers.source import Asked, Found, Importer, LeftOut, Picture
from trainables.errors import DataError

TABLE = "_classes.csv"
FOLDERS = ("train", "valid", "val", "test")
_END = "_mask"


def read_roboflow(src: Path, asked: Asked) -> Found:  # noqa: ARG001
    """Read the tables of train, valid and test, or that of SRC; a pixel value may differ from table to table.

    Raises:
        DataError: no table, or one with a line that is no value and name.
    """
    folders = [folder for name in FOLDERS if (folder := src / name).joinpath(TABLE).is_file()]
    folders = folders or ([src] if (src / TABLE).is_file() else [])
    if not folders:
        raise DataError(f"{src} holds no {TABLE}, nor do its folders {', '.join(FOLDERS)}. Give the folder that does.")
    numbers: dict[str, int] = {}
    pictures: list[Picture] = []
    left_out: list[LeftOut] = []
    for folder in folders:
        values = {value: numbers.setdefault(name, len(numbers)) for value, name in _table(folder / TABLE).items()}
        images, masks = _files(folder)
        for stem in sorted(images.keys() | masks.keys()):
            there = images.get(stem) or masks[stem]
            if stem not in images or stem not in masks:
                lacks = f"has no {stem}{_END}.png" if stem in images else "is a mask without image"
                left_out.append(LeftOut(said(there, src), f"{lacks}. Add it."))
                continue
            draw = reader(masks[stem], numbers=values, rule=TABLE)
            split = None if folder == src else split_in(folder.name)
            pictures.append(Picture(said(folder / stem, src), split, images[stem], draw))
    return Found(tuple(numbers), pictures, left_out=left_out)


def _files(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    paths = [path for path in folder.iterdir() if is_image(path) and path.name[0] != "."]
    masks = {path.stem.removesuffix(_END): path for path in paths if path.stem.endswith(_END)}
    return {path.stem: path for path in paths if not path.stem.endswith(_END)}, masks


def _table(path: Path) -> dict[int, str]:
    values: dict[int, str] = {}
    for number, row in enumerate(csv.reader(plain_text(path).splitlines()), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and not cells[0].isdecimal()):
            continue
        if len(cells) < 2 or not cells[0].isdecimal() or int(cells[0]) > 255 or not cells[1]:
            raise DataError(
                f"{path} line {number} must be a pixel value of 0 to 255 and a class, got {','.join(row)!r}."
            )
        values[int(cells[0])] = cells[1]
    if not values:
        raise DataError(f"{path} names no class.")
    return values


ROBOFLOW = Importer(read_roboflow)
