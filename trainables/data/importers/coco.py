"""COCO's json: polygons and run lengths, several files for several splits, ids of categories with gaps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, Field

from trainables.data.faults import counted
from trainables.data.importers.cocomask import from_polygons, from_runs
from trainables.data.importers.foreign import parsed, read_json
from trainables.data.importers.listing import Images, said, split_in
from trainables.data.importers.shapes import Mask, Shape, box, cropped, painted
from trainables.data.importers.source import IGNORED, Asked, Found, Importer, Label, LeftOut, Picture, Size
from trainables.errors import DataError
from trainables.extras import need

_FOLDERS = (".", "annotations", "train", "valid", "val", "test")
_OTHER = ("captions", "person_keypoints", "panoptic", "image_info", "stuff")  # other files of a COCO release


class _Image(BaseModel):
    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None

    def check(self, size: Size) -> None:
        """Raises:
        DataError: the image is not of the size that its shapes are said to be of.
        """
        if self.width and self.height and (self.height, self.width) != size:
            raise DataError(
                f"is {size[1]}x{size[0]} as one sees it, but its shapes are of {self.width}x{self.height}. "
                "Export it again, or store the image upright."
            )


class _Category(BaseModel):
    id: int | str
    name: str = Field(min_length=1)
    supercategory: str | None = None


class _Index(BaseModel):
    images: list[_Image]
    categories: list[_Category]
    annotations: list[Any]


class _Runs(BaseModel):
    size: tuple[int, int]
    counts: list[Annotated[int, Field(ge=0)]] | str


class _Annotation(BaseModel):
    category_id: int | str
    segmentation: _Runs | list[list[float]] | list[float] | None = None
    iscrowd: bool | None = None

    def mask(self, size: Size) -> Mask:
        """Raises:
        DataError: it has no shape, or one that cannot be drawn.
        """
        found = self.segmentation
        if isinstance(found, _Runs):
            return from_runs(found.counts, found.size, size)
        if not found:
            raise DataError("has no segmentation")
        polygons: Any = found if isinstance(found[0], list) else [found]
        return from_polygons(polygons, size)


class _Box(BaseModel):
    bbox: tuple[float, float, float, float]


@dataclass
class _Gathered:
    """What the files together say."""

    numbers: dict[str, int] = field(default_factory=dict)  # of each class's name
    pictures: list[Picture] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_coco(src: Path, asked: Asked) -> Found:
    """Read the json files: SRC itself, or those in it, in its `annotations`, or beside Roboflow's images.

    Of a release of COCO the `instances_*.json` are taken. A file's name says its split. Crowds are ignored unless
    asked for. Of an annotation without a shape that can be drawn the box is ignored.

    Raises:
        DataError: no such file, one that cannot be read, or an image twice.
    """
    need("pycocotools")
    gathered = _Gathered()
    root = src.parent if src.is_file() else src
    for path in _files(src):
        folders = [asked.images] if asked.images else list(dict.fromkeys([path.parent, root, root / "images"]))
        _gather(path, root, Images(folders), asked.crowd == "draw", gathered)
    return Found(tuple(gathered.numbers), gathered.pictures, left_out=gathered.left_out, notes=gathered.notes)


def _files(src: Path) -> list[Path]:
    if src.is_file():
        return [src]
    there = [path for folder in _FOLDERS for path in sorted((src / folder).glob("*.json"))]
    found = [path for path in there if path.name.startswith("instances")] or [
        path for path in there if not path.name.startswith(_OTHER) and _is_index(path)
    ]
    if not found:
        raise DataError(
            f"{src} holds no json of COCO with images, annotations and categories, nor do its folders "
            f"{', '.join(_FOLDERS[1:])}. Give the file itself."
        )
    return found


def _is_index(path: Path) -> bool:
    values = read_json(path)
    return isinstance(values, dict) and {"images", "annotations", "categories"} <= values.keys()


def _gather(path: Path, root: Path, images: Images, crowd: bool, gathered: _Gathered) -> None:
    index = parsed(_Index, read_json(path), where=f"{path}:")
    name = said(path, root)
    known = _known(index, path, gathered)
    by_image: dict[Any, list[Any]] = defaultdict(list)
    for one in index.annotations:
        by_image[_hashable(one.get("image_id")) if isinstance(one, dict) else None].append(one)
    split = split_in(path.stem, path.parent.name)
    seen = set()
    for image in index.images:
        if image.id in seen:
            raise DataError(f"{path} has the image id {image.id} twice. Keep one.")
        seen.add(image.id)
        try:
            file = images.find(image.file_name, near=split)
        except DataError as error:
            gathered.left_out.append(LeftOut(image.file_name, str(error)))
            continue
        draw = partial(_draw, image=image, annotations=by_image[image.id], known=known, crowd=crowd, where=name)
        gathered.pictures.append(Picture(_name(image.file_name), split, file, draw))
    if lost := sum(len(found) for number, found in by_image.items() if number not in seen):
        gathered.left_out.append(LeftOut(name, f"{counted(lost, 'annotation')} of no image in it."))


def _hashable(number: Any) -> int | str | None:
    """An id; whatever else stands there is no image's."""
    return number if isinstance(number, (int, str)) else None


def _name(file_name: str) -> str:
    return PurePosixPath(file_name.replace("\\", "/")).with_suffix("").as_posix()


def _known(index: _Index, path: Path, gathered: _Gathered) -> dict[int | str, int]:
    """The number of each category of this file; the same name is the same class in all files.

    Roboflow's first category is the group of the others and no class: nothing is annotated with it.
    """
    used = {_hashable(one.get("category_id")) for one in index.annotations if isinstance(one, dict)}
    groups = {one.supercategory for one in index.categories}
    known: dict[int | str, int] = {}
    for one in index.categories:
        if one.id in known:
            raise DataError(f"{path} has the category id {one.id} twice. Keep one.")
        if (
            one.name in groups
            and one.id not in used
            and one.supercategory in (None, "none")
            and len(index.categories) > 1
        ):
            gathered.notes.append(f"Category {one.name} is the group of others and has no annotation: it is no class.")
            continue
        known[one.id] = gathered.numbers.setdefault(one.name, len(gathered.numbers))
    return known


def _draw(
    size: Size, *, image: _Image, annotations: Sequence[Any], known: Mapping[int | str, int], crowd: bool, where: str
) -> Label:
    image.check(size)
    shapes: list[Shape] = []
    objects: Counter[int] = Counter()
    notes: Counter[str] = Counter()
    left_out: list[LeftOut] = []
    for place, values in enumerate(annotations):
        number = values.get("id", place) if isinstance(values, dict) else place
        try:
            one = parsed(_Annotation, values, where="cannot be read:")
            if one.category_id not in known:
                raise DataError(f"is of category {one.category_id}, which the file does not name")
            beneath = bool(one.iscrowd) and not crowd
            shape = cropped(IGNORED if beneath else known[one.category_id], one.mask(size), beneath=beneath)
        except DataError as error:
            ignored = _box(values, size)
            shapes += ignored
            then = " Its box is ignored." if ignored else ""
            left_out.append(LeftOut(where, f"annotation {number} of {image.file_name} {str(error).rstrip('.')}.{then}"))
            continue
        shapes.append(shape)
        if beneath:
            notes["crowds that are ignored"] += 1
        else:
            objects[shape.number] += 1
    ids, overlaps = painted(shapes, size)
    return Label(ids, objects, overlaps, notes, tuple(left_out))


def _box(values: Any, size: Size) -> list[Shape]:
    """What is known of an annotation whose shape is not: somewhere in its box there is something."""
    try:
        left, top, width, height = parsed(_Box, values, where="").bbox
        return [cropped(IGNORED, box(left, top, left + width, top + height, size), beneath=True)]
    except DataError:
        return []


COCO = Importer(read_coco, frozenset({"images", "crowd"}), draws=True)
