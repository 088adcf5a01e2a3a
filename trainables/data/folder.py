"""The `folder` layout: your own set. images/SPLIT/NAME.jpg (or .png, ...), labels/SPLIT/NAME.png, dataset.yaml; and
images/unlabelled/NAME.jpg, which need no mask.

dataset.yaml holds `classes` (names, in the order of their ids, or a mapping of ids to names; YOLO's `names` is read
likewise) and may hold `name` (else the folder's), `palette` (RGB of each class; else colours far apart), `ignore_index`
(else 255) and `ids` (what another id of the masks means: a class id, or ignore_index; such as {255: 1} for masks of 0
and 255); other keys are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from trainables.data.dataset import Sample, SegDataset
from trainables.data.faults import Fault, refuse
from trainables.data.images import SUFFIXES
from trainables.data.matching import listed, pair_folders
from trainables.data.names import folded
from trainables.data.passed import entries, report
from trainables.drawing.palette import distinct
from trainables.errors import ConfigError, DataError, from_validation
from trainables.yamls import as_written, load_yaml

REQUIRED, OPTIONAL = ("train", "val"), ("test",)
UNLABELLED = "unlabelled"
"""A folder beside the splits' images, of images without a mask."""
_MOST_CLASSES = 255  # 8-bit masks, one id for ignore_index

_MARKS = {  # folders by which a tree of another layout is known
    "cityscapes": "leftImg8bit",
    "voc": "ImageSets/Segmentation",
    "ade20k": "annotations/training",
    "camvid": "trainannot",
}

Byte = Annotated[int, Field(ge=0, le=255)]


def read_folder(root: Path, *, fault: Fault = refuse) -> SegDataset:
    """Read dataset.yaml and list the splits; no image is opened.

    Args:
        root: the tree.
        fault: told each broken rule. A dataset.yaml that cannot be used leaves the set without classes.

    Raises:
        DataError: no dataset.yaml or a wrong field in it; a split missing or empty; an image without label or a label
            without image; a file that would be passed over.
    """
    described = _described(root / "dataset.yaml", fault)
    for kind in ("images", "labels"):
        _refuse_strays(root / kind, fault)
    present = [split for split in OPTIONAL if any((root / kind / split).is_dir() for kind in ("images", "labels"))]
    return SegDataset(
        name=described.name or root.resolve().name,
        root=root,
        classes=described.classes,
        palette=described.palette or distinct(len(described.classes)),
        ignore_index=described.ignore_index,
        ids=described.mapped,
        splits={split: _pair(root, split, fault) for split in (*REQUIRED, *present)},
        unlabelled=_unlabelled(root / "images" / UNLABELLED, fault),
    )


class _Described(BaseModel):
    """dataset.yaml."""

    name: str | None = None
    classes: tuple[str, ...] = ()
    palette: tuple[tuple[Byte, Byte, Byte], ...] | None = None
    ignore_index: int = 255
    ids: dict[Byte, int] | None = None

    @property
    def mapped(self) -> dict[int, int] | None:
        """Of every id that a mask may hold; None where nothing is mapped."""
        if not self.ids:
            return None
        return {number: number for number in (*range(len(self.classes)), self.ignore_index)} | self.ids

    @field_validator("classes", mode="before")
    @classmethod
    def _by_id(cls, classes: Any) -> Any:
        """`{0: road, 1: sky}` in the order of its ids."""
        if not isinstance(classes, Mapping):
            return classes
        if sorted(map(str, classes)) != sorted(map(str, range(len(classes)))):
            raise ValueError(
                f"classes must name each id from 0 to {len(classes) - 1} once, got {', '.join(map(str, classes))}."
            )
        by_id = {str(number): name for number, name in classes.items()}
        return [by_id[str(number)] for number in range(len(classes))]

    @model_validator(mode="after")
    def _fits_together(self) -> _Described:
        count = len(self.classes)
        if not 1 <= count <= _MOST_CLASSES:
            raise ValueError(f"classes must name 1 to {_MOST_CLASSES} classes, got {count}.")
        if not all(name.strip() for name in self.classes):
            raise ValueError(f"classes must have a name each, got {', '.join(map(repr, self.classes))}.")
        if len(set(self.classes)) < count:
            raise ValueError(f"classes must have different names, got {', '.join(self.classes)}.")
        if self.palette is not None and len(self.palette) != count:
            raise ValueError(f"palette must hold one colour for each of the {count} classes, got {len(self.palette)}.")
        if not count <= self.ignore_index <= 255:
            rule = f"outside the class ids (0-{count - 1}) and at most 255"
            raise ValueError(f"ignore_index must be {rule}, got {self.ignore_index}.")
        for stored, number in (self.ids or {}).items():
            if number not in (*range(count), self.ignore_index):
                rule = f"a class id (0-{count - 1}) or ignore_index ({self.ignore_index})"
                raise ValueError(f"ids must map {stored} to {rule}, got {number}.")
        return self


def _described(path: Path, fault: Fault) -> _Described:
    try:
        return _describe(path)
    except DataError as error:
        fault(str(error))
        return _Described.model_construct()


def _describe(path: Path) -> _Described:
    if not path.is_file():
        known = (f" Or is it {name}:{path.parent}?" for name, mark in _MARKS.items() if (path.parent / mark).is_dir())
        example = "Write one that names the classes, such as `classes: [road, sky]`."
        raise DataError(f"{path} is missing. {example}{next(known, '')}")
    try:
        values = load_yaml(path)
        if (key := "classes" if "classes" in values else "names") in values:
            values = {**values, "classes": as_written(path, key)}  # a name may be `no`, `1` or a date
        return _Described.model_validate(values)
    except ValidationError as error:
        raise DataError(str(from_validation(error, known=_Described.model_fields, where=f"{path}: "))) from None
    except ConfigError as error:
        raise DataError(str(error)) from None


def _refuse_strays(folder: Path, fault: Fault) -> None:
    """Files that lie beside the splits, and splits whose name is spelt otherwise; other folders are the user's own."""
    if not folder.is_dir():
        return
    splits = {*REQUIRED, *OPTIONAL, UNLABELLED}
    passed = [
        one
        for one in entries(folder)
        if (Path(one.name).suffix.lower() in SUFFIXES and not one.is_dir())
        or (one.name not in splits and folded(one.name) in splits)
    ]
    report(folder, passed, wanted=f"the folders {', '.join((*REQUIRED, *OPTIONAL))}", fault=fault)


def _unlabelled(folder: Path, fault: Fault) -> tuple[Path, ...]:
    return tuple(listed(folder, SUFFIXES, fault)) if folder.is_dir() else ()


def _pair(root: Path, split: str, fault: Fault) -> tuple[Sample, ...]:
    images, labels = root / "images" / split, root / "labels" / split
    for folder in (images, labels):
        if not folder.is_dir():
            fault(
                f"split {split!r} is missing: expected {folder}, beside {folder.parent}/SPLIT for each of "
                f"{', '.join(REQUIRED)} and, to confirm a study, {', '.join(OPTIONAL)}."
            )
            return ()
    rule = f"images/{split}/NAME.* needs labels/{split}/NAME.png"
    return pair_folders(images, labels, split=split, root=root, suffixes=SUFFIXES, rule=rule, fault=fault)
