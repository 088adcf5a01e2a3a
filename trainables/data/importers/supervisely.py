"""Supervisely's project: meta.json, and for each data set img/NAME.jpg with ann/NAME.jpg.json."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from trainables.data.importers.colours import as_colour
from trainables.data.importers.foreign import parsed, read_json
from trainables.data.importers.listing import said, split_of
from trainables.data.importers.shapes import Mask, Shape, cropped, painted, polygon, rectangle
from trainables.data.importers.source import Asked, Found, Importer, Label, LeftOut, Picture, Size
from trainables.data.importers.within import from_text, pictured
from trainables.drawing.palette import distinct
from trainables.errors import DataError

_LARGEST = 2**28  # bytes of a bitmap's PNG; what unpacks to more is no mask

Points = list[tuple[float, float]]


class _Class(BaseModel):
    title: str = Field(min_length=1)
    color: str = ""


class _Meta(BaseModel):
    classes: list[_Class] = Field(min_length=1)


class _Size(BaseModel):
    height: int
    width: int


class _Annotation(BaseModel):
    size: _Size
    objects: list[Any]


class _Outline(BaseModel):
    exterior: Points
    interior: list[Points] = []


class _Bitmap(BaseModel):
    data: str
    origin: tuple[int, int]  # x, y


class _Object(BaseModel):
    classTitle: str
    geometryType: str
    points: _Outline | None = None
    bitmap: _Bitmap | None = None


def read_supervisely(src: Path, asked: Asked) -> Found:  # noqa: ARG001
    """Read meta.json and list the annotations of every data set; one called train, val or test is that split.

    Raises:
        DataError: no meta.json with classes, or no annotation.
    """
    meta = parsed(_Meta, read_json(src / "meta.json"), where=f"{src / 'meta.json'}:")
    colours = {one.title: as_colour(one.color) for one in meta.classes}
    classes = tuple(colours)
    palette = tuple(own or spare for own, spare in zip(colours.values(), distinct(len(classes)), strict=True))
    numbers = {name: number for number, name in enumerate(classes)}
    pictures: list[Picture] = []
    left_out: list[LeftOut] = []
    files = sorted(src.rglob("ann/*.json"))
    if not files:
        raise DataError(f"{src} holds no DATASET/ann/NAME.json. Give the folder of the project.")
    for path in files:
        image = path.parent.parent / "img" / path.stem
        where = said(path, src)
        if not image.is_file():
            left_out.append(LeftOut(where, f"has no image: {said(image, src)} is not there. Add it."))
            continue
        dataset = path.parent.parent.relative_to(src)
        draw = partial(_draw, path=path, where=where, numbers=numbers)
        name = (dataset / image.stem).as_posix()
        pictures.append(Picture(name, split_of(dataset.parts), image, draw))
    return Found(classes, pictures, palette, left_out)


def _draw(size: Size, *, path: Path, where: str, numbers: Mapping[str, int]) -> Label:
    annotation = parsed(_Annotation, read_json(path), where="is no annotation of Supervisely:")
    if (annotation.size.height, annotation.size.width) != size:
        stored = f"{annotation.size.width}x{annotation.size.height}"
        raise DataError(f"is of {stored}, but its image is {size[1]}x{size[0]} as one sees it. Export it again.")
    shapes: list[Shape] = []
    left_out: list[LeftOut] = []
    for place, values in enumerate(annotation.objects):
        try:
            one = parsed(_Object, values, where="cannot be read:")
            if one.classTitle not in numbers:
                raise DataError(f"is of {one.classTitle!r}, which meta.json does not name")
            shapes.append(cropped(numbers[one.classTitle], _mask(one, size)))
        except DataError as error:
            left_out.append(LeftOut(where, f"object {place} {str(error).rstrip('.')}."))
    ids, overlaps = painted(shapes, size)
    return Label(ids, Counter(shape.number for shape in shapes), overlaps, left_out=tuple(left_out))


def _mask(one: _Object, size: Size) -> Mask:
    if one.geometryType == "bitmap" and one.bitmap:
        return _unpacked(one.bitmap, size)
    if one.geometryType == "polygon" and one.points:
        mask = polygon(one.points.exterior, size)
        for hole in one.points.interior:
            mask &= ~polygon(hole, size)
        return mask
    if one.geometryType == "rectangle" and one.points:
        return rectangle(one.points.exterior, size)
    raise DataError(f"({one.classTitle}) is a {one.geometryType}, of which no mask can be made")


def _unpacked(bitmap: _Bitmap, size: Size) -> Mask:
    """A PNG, deflated once more, as text; its alpha channel is the mask, or all that is not black."""
    try:
        data = zlib.decompressobj().decompress(from_text(bitmap.data, "a bitmap"), _LARGEST)
    except zlib.error:
        raise DataError("has a bitmap that cannot be unpacked") from None
    with pictured(data, "a bitmap", ("PNG",)) as image:
        clear = "A" in image.getbands() or "transparency" in image.info
        held = np.array(image.convert("RGBA"))[..., 3] > 0 if clear else np.array(image.convert("RGB")).any(axis=-1)
    left, top = bitmap.origin
    if left < 0 or top < 0 or left + held.shape[1] > size[1] or top + held.shape[0] > size[0]:
        raise DataError(f"has a bitmap of {held.shape[1]}x{held.shape[0]} at ({left}, {top}), outside of the image")
    mask = np.zeros(size, bool)
    mask[top : top + held.shape[0], left : left + held.shape[1]] = held
    return mask


SUPERVISELY = Importer(read_supervisely, draws=True)
