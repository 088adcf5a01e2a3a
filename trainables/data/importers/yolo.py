"""YOLO's polygons: data.yaml, and a text file for each image, `class x y x y ...` a line, in [0, 1] of its sides."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel

from trainables.data.importers.cocomask import from_polygons
from trainables.data.importers.foreign import parsed, plain_text
from trainables.data.importers.listing import is_image, said, walked
from trainables.data.importers.shapes import Shape, box, cropped, painted
from trainables.data.importers.source import IGNORED, Asked, Found, Importer, Label, LeftOut, Picture, Size
from trainables.errors import ConfigError, DataError
from trainables.extras import need
from trainables.yamls import as_written, load_yaml

_BOX = 4  # numbers behind the class
_SLACK = 0.01  # by which exports overshoot the image


class _Data(BaseModel):
    path: str | None = None
    train: str | list[str] | None = None
    val: str | list[str] | None = None
    test: str | list[str] | None = None

    def given(self) -> dict[str, list[str]]:
        """The splits that it names."""
        entries = {"train": self.train, "val": self.val, "test": self.test}
        return {split: [one] if isinstance(one, str) else one for split, one in entries.items() if one}


def read_yolo(src: Path, asked: Asked) -> Found:  # noqa: ARG001
    """Read data.yaml and list the images of its splits. An image without a text file, or with an empty one, is all
    background. A line of four numbers is a box, which no mask can be made of: its pixels are ignored.

    Raises:
        DataError: no data.yaml with names, or a split whose images are not there.
    """
    need("pycocotools")
    try:
        path = _described(src)
        data = parsed(_Data, load_yaml(path), where=f"{path}:")
    except ConfigError as error:
        raise DataError(str(error)) from None
    classes = _names(path)
    pictures: list[Picture] = []
    for split, entries in (data.given() or _usual(src)).items():
        for image in dict.fromkeys(image for entry in entries for image in _images(entry, path, data.path)):
            labels = _labels(image)
            draw = partial(_draw, labels=labels, where=said(labels, src), count=len(classes))
            pictures.append(Picture(_name(image, src), split, image, draw))
    return Found(classes, pictures)


def _described(src: Path) -> Path:
    """data.yaml, or whatever else it is called."""
    for path in [src / "data.yaml", *sorted(src.glob("*.yaml")), *sorted(src.glob("*.yml"))]:
        if path.is_file() and "names" in load_yaml(path):
            return path
    raise DataError(f"{src} holds no data.yaml with `names`. Give the folder that does.")


def _names(path: Path) -> tuple[str, ...]:
    """A list, or a mapping of ids to names; a name is what is written."""
    names: Any = as_written(path, "names")
    if isinstance(names, dict):
        if sorted(map(str, names)) != sorted(map(str, range(len(names)))):
            raise DataError(f"{path}: names must name each id from 0 to {len(names) - 1} once, got {', '.join(names)}.")
        names = [names[str(number)] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names) or not names:
        raise DataError(f"{path}: names must be a list of the classes, or a mapping of ids to them.")
    if len(set(names)) < len(names):
        raise DataError(f"{path}: names must name each class once, got {', '.join(names)}.")
    return tuple(names)


def _usual(src: Path) -> dict[str, list[str]]:
    """Where nothing is said: images/train or train/images."""
    places = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}
    found: dict[str, list[str]] = {}
    for split, words in places.items():
        for place in (form.format(word) for word in words for form in ("images/{}", "{}/images")):
            if (src / place).is_dir():
                found.setdefault(split, [place])
    if not found:
        raise DataError(
            f"{src} has no images/train or train/images, and its yaml names no train. Add the line `train:`."
        )
    return found


def _images(entry: str, described: Path, base: str | None) -> Iterator[Path]:
    """Of a folder, or of a text file that lists them."""
    place = _there(entry, described, base)
    if place.is_dir():
        yield from (path for path in walked(place) if is_image(path))
        return
    for line in filter(None, map(str.strip, plain_text(place).splitlines())):
        yield _there(line, described, base, beside=place.parent)


def _there(entry: str, described: Path, base: str | None, beside: Path | None = None) -> Path:
    """Paths of data.yaml are relative to `path`, to the file, or (Roboflow) to a folder that is not there."""
    root = described.parent
    short = PurePosixPath(*(part for part in PurePosixPath(entry).parts if part != ".."))
    places = [root / (base or ".") / entry, root / entry, *([beside / entry] if beside else []), root / short]
    for place in places:
        if place.exists():
            return place
    raise DataError(
        f"{described} names {entry}, which is not there: looked for {places[0]}. Add it or remove the line."
    )


def _labels(image: Path) -> Path:
    """The last folder `images` is `labels`, as YOLO has it; without one, the text lies beside the image."""
    parts = list(image.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _name(image: Path, src: Path) -> str:
    if not image.is_relative_to(src):
        return image.stem
    parts = image.relative_to(src).with_suffix("").parts
    return "/".join(part for part in parts if part != "images")


def _draw(size: Size, *, labels: Path, where: str, count: int) -> Label:
    shapes: list[Shape] = []
    objects: Counter[int] = Counter()
    left_out: list[LeftOut] = []
    boxes = []
    for line, text in enumerate(plain_text(labels).splitlines() if labels.is_file() else [], 1):
        if not text.strip():
            continue
        try:
            number, points = _line(text, count)
            if len(points) == _BOX:
                shapes.append(_box(points, size))
                boxes.append(line)
                continue
            height, width = size
            scaled = [point * (height if place % 2 else width) for place, point in enumerate(points)]
            shapes.append(cropped(number, from_polygons([scaled], size)))
            objects[number] += 1
        except DataError as error:
            left_out.append(LeftOut(where, f"line {line} {str(error).rstrip('.')}."))
    if boxes:
        lines = f"line{'s' * (len(boxes) > 1)} {', '.join(map(str, boxes))}"
        left_out.append(LeftOut(where, f"{lines}: boxes, of which no mask can be made; their pixels are ignored."))
    ids, overlaps = painted(shapes, size)
    return Label(ids, objects, overlaps, left_out=tuple(left_out))


def _line(text: str, count: int) -> tuple[int, list[float]]:
    first, *rest = text.split()
    try:
        number, points = int(float(first)), [float(one) for one in rest]
    except (ValueError, OverflowError):
        raise DataError("must be a class and numbers") from None
    if not 0 <= number < count:
        raise DataError(f"is of class {number}, but names has {count} (0-{count - 1})")
    if not all(math.isfinite(one) and -_SLACK <= one <= 1 + _SLACK for one in points):
        raise DataError("has a coordinate outside of [0, 1]: they must be shares of the image's sides")
    return number, points


def _box(points: list[float], size: Size) -> Shape:
    height, width = size
    x, y, across, down = (one * side for one, side in zip(points, (width, height, width, height), strict=True))
    mask = box(x - across / 2, y - down / 2, x + across / 2, y + down / 2, size)
    return cropped(IGNORED, mask, beneath=True)


YOLO = Importer(read_yolo, draws=True)
