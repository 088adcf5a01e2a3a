"""Labelme's json, one for each image: polygons, rectangles, circles and masks; the photo beside it or within it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from trainables.data.faults import counted
from trainables.data.images import SUFFIXES
from trainables.data.importers.foreign import parsed, read_json
from trainables.data.importers.listing import is_image, said, split_of, walked, without_ending
from trainables.data.importers.shapes import Mask, check_near, circle, cropped, painted, polygon, rectangle
from trainables.data.importers.source import IGNORED, Asked, Found, Importer, Label, LeftOut, Picture, Size
from trainables.data.importers.within import from_text, pictured
from trainables.errors import DataError

_FILLED = {"polygon": polygon, "rectangle": rectangle, "circle": circle}
_IGNORE, _BACKGROUND = "__ignore__", "_background_"  # Labelme's own names


class _Shape(BaseModel):
    label: str = Field(min_length=1)
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"  # files of Labelme 3 have none
    group_id: int | str | None = None
    mask: str | None = None


class _File(BaseModel):
    shapes: list[Any]
    imagePath: str = ""
    imageData: str | None = Field(None, repr=False)
    imageHeight: int | None = None
    imageWidth: int | None = None


def read_labelme(src: Path, asked: Asked) -> Found:
    """Read every json in SRC and its folders. Classes are in alphabetical order, unless they are given.

    Shapes of one label and group are one object. `_background_` is background, `__ignore__` is ignored.

    Raises:
        DataError: no json of Labelme.
    """
    pictures: list[Picture] = []
    left_out: list[LeftOut] = []
    files: list[tuple[Path, _File]] = []
    for path in (path for path in walked(src) if path.suffix.lower() == ".json"):
        try:
            file = parsed(_File, read_json(path), where="is no file of Labelme:")
            files.append((path, file.model_copy(update={"imageData": file.imageData and "within"})))  # photos are large
        except DataError as error:
            left_out.append(LeftOut(said(path, src), str(error).removeprefix(f"{path} ")))
    if not files:
        raise DataError(f"{src} holds no json of Labelme with shapes. Give the folder that holds them.")
    classes = asked.classes or _labels([file for _, file in files])
    numbers = {_name(name): number for number, name in enumerate(classes)}
    for path, file in files:
        where = said(path, src)
        try:
            image = _image(path, file)
        except DataError as error:
            left_out.append(LeftOut(where, str(error)))
            continue
        draw = partial(_draw, path=path, where=where, numbers=numbers)
        split = split_of(path.relative_to(src).parts[:-1])
        pictures.append(Picture(without_ending(path, src), split, image, draw))
    used = {one.image.resolve() for one in pictures if isinstance(one.image, Path)}
    alone = sum(is_image(path) and path.resolve() not in used for path in walked(src))
    notes = [f"{counted(alone, 'image')} without json: not imported."] if alone else []
    return Found(tuple(map(_name, classes)), pictures, left_out=left_out, notes=notes)


def _name(label: str) -> str:
    return "background" if label == _BACKGROUND else label


def _labels(files: Sequence[_File]) -> tuple[str, ...]:
    held = {one.get("label") for file in files for one in file.shapes if isinstance(one, dict)}
    names = {_name(label) for label in held if isinstance(label, str) and label} - {_IGNORE}
    return tuple(sorted(names, key=lambda name: (name != "background", name)))


def _image(path: Path, file: _File) -> Path | partial[bytes]:
    """The photo that it names, else one of its own name beside it, else the copy within."""
    named = path.parent / file.imagePath.replace("\\", "/")
    if file.imagePath and named.is_file():
        return named
    beside = path.parent / named.name
    found = [beside] if beside.is_file() else [path.with_suffix(end) for end in sorted(SUFFIXES)]
    there = next((one for one in found if one.is_file()), None)
    if there is None and not file.imageData:
        raise DataError(f"has no image: {file.imagePath or path.stem} is neither beside it nor within. Add it.")
    return there or partial(_within, path)


def _within(path: Path) -> bytes:
    return from_text(parsed(_File, read_json(path), where="").imageData or "", "imageData")


def _draw(size: Size, *, path: Path, where: str, numbers: Mapping[str, int]) -> Label:
    """The file is read again: all of them, with their photos, would not fit into memory."""
    file = parsed(_File, read_json(path), where="is no file of Labelme:")
    if file.imageHeight and file.imageWidth and (file.imageHeight, file.imageWidth) != size:
        stored = f"{file.imageWidth}x{file.imageHeight}"
        raise DataError(f"is of {stored}, but its image is {size[1]}x{size[0]} as one sees it. Label it again.")
    shapes: dict[Any, tuple[int, Mask]] = {}
    left_out: list[LeftOut] = []
    for place, values in enumerate(file.shapes):
        try:
            one = parsed(_Shape, values, where="cannot be read:")
            mask = _mask(one, size)
            number = IGNORED if one.label == _IGNORE else numbers.get(_name(one.label), -1)
            if number < 0:
                raise DataError(f"is labelled {one.label!r}, which is none of the classes")
            cropped(number, mask)
        except DataError as error:
            left_out.append(LeftOut(where, f"shape {place} {str(error).rstrip('.')}."))
            continue
        key = place if one.group_id is None else (number, str(one.group_id))
        before = shapes.get(key)
        shapes[key] = (number, mask if before is None else before[1] | mask)
    drawn = [cropped(number, mask) for number, mask in shapes.values()]
    ids, overlaps = painted(drawn, size)
    objects = Counter(shape.number for shape in drawn if shape.number != IGNORED)
    return Label(ids, objects, overlaps, left_out=tuple(left_out))


def _mask(one: _Shape, size: Size) -> Mask:
    kind = one.shape_type or "polygon"
    if kind == "mask":
        return _pasted(one, size)
    if kind not in _FILLED:
        raise DataError(f"({one.label}) is a {kind}, which has no area")
    return _FILLED[kind](one.points, size)


def _pasted(one: _Shape, size: Size) -> Mask:
    """A PNG whose first pixel lies on the first point."""
    with pictured(from_text(one.mask or "", "a mask"), "a mask") as image:
        held = np.array(image.convert("L")) > 0
    if not one.points:
        raise DataError("has a mask without a place")
    check_near(one.points, size)
    left, top = (round(number) for number in one.points[0])
    mask = np.zeros(size, bool)
    if top < 0 or left < 0 or not mask[top:, left:].size:
        raise DataError("has a mask outside of the image")
    place = mask[top : top + held.shape[0], left : left + held.shape[1]]
    place |= held[: place.shape[0], : place.shape[1]]
    return mask


LABELME = Importer(read_labelme, frozenset({"classes"}), draws=True)
