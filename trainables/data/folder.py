"""The `folder` layout: your own set. images/SPLIT/NAME.jpg (or .png, ...), labels/SPLIT/NAME.png, dataset.yaml.

dataset.yaml holds `classes` (names, in the order of their ids) and may hold `name` (else the folder's), `palette`
(RGB of each class; else evenly spaced hues) and `ignore_index` (else 255); other keys are left alone.
"""

from __future__ import annotations

import colorsys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError, model_validator

from trainables.config import load_yaml
from trainables.data.dataset import Sample, SegDataset
from trainables.data.images import SUFFIXES
from trainables.data.masks import first_three
from trainables.errors import ConfigError, DataError, from_validation

REQUIRED, OPTIONAL = ("train", "val"), ("test",)
_MOST_CLASSES = 255  # 8-bit masks, one id for ignore_index

Byte = Annotated[int, Field(ge=0, le=255)]


def read_folder(root: Path) -> SegDataset:
    """Read dataset.yaml and list the splits; no image is opened.

    Raises:
        DataError: no dataset.yaml or a wrong field in it; a split missing or empty; an image without label or a label
            without image.
    """
    described = _describe(root / "dataset.yaml")
    present = [split for split in OPTIONAL if any((root / kind / split).is_dir() for kind in ("images", "labels"))]
    return SegDataset(
        name=described.name or root.resolve().name,
        root=root,
        classes=described.classes,
        palette=described.palette or _hues(len(described.classes)),
        ignore_index=described.ignore_index,
        splits={split: _pair(root, split) for split in (*REQUIRED, *present)},
    )


class _Described(BaseModel):
    """dataset.yaml."""

    name: str | None = None
    classes: tuple[str, ...] = ()
    palette: tuple[tuple[Byte, Byte, Byte], ...] | None = None
    ignore_index: int = 255

    @model_validator(mode="after")
    def _fits_together(self) -> _Described:
        count = len(self.classes)
        if not 1 <= count <= _MOST_CLASSES:
            raise ValueError(f"classes must name 1 to {_MOST_CLASSES} classes, got {count}.")
        if len(set(self.classes)) < count:
            raise ValueError(f"classes must have different names, got {', '.join(self.classes)}.")
        if self.palette is not None and len(self.palette) != count:
            raise ValueError(f"palette must hold one colour for each of the {count} classes, got {len(self.palette)}.")
        if not count <= self.ignore_index <= 255:
            rule = f"outside the class ids (0-{count - 1}) and at most 255"
            raise ValueError(f"ignore_index must be {rule}, got {self.ignore_index}.")
        return self


def _describe(path: Path) -> _Described:
    if not path.is_file():
        raise DataError(f"{path} is missing. Write one that names the classes, such as `classes: [road, sky]`.")
    try:
        return _Described.model_validate(load_yaml(path))
    except ValidationError as error:
        raise DataError(str(from_validation(error, known=_Described.model_fields, where=f"{path}: "))) from None
    except ConfigError as error:
        raise DataError(str(error)) from None


def _hues(count: int) -> tuple[tuple[int, int, int], ...]:
    colours = (colorsys.hsv_to_rgb(i / count, 0.6, 0.9) for i in range(count))
    return tuple((round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in colours)


def _pair(root: Path, split: str) -> tuple[Sample, ...]:
    """Match images and labels by stem, in the order of the stems."""
    images = _by_stem(root, "images", split, SUFFIXES)
    labels = _by_stem(root, "labels", split, {".png"})
    for kind, other, alone in (
        ("images", "label", images.keys() - labels.keys()),
        ("labels", "image", labels.keys() - images.keys()),
    ):
        if alone:
            raise DataError(
                f"split {split!r} of {root} has {kind} without {other}: {first_three(sorted(alone))}. "
                f"Each images/{split}/NAME.* needs labels/{split}/NAME.png: add the {other} or remove these {kind}."
            )
    if not images:
        raise DataError(f"split {split!r} is empty: {root / 'images' / split} holds no {', '.join(sorted(SUFFIXES))}.")
    return tuple(Sample(images[stem], labels[stem]) for stem in sorted(images))


def _by_stem(root: Path, kind: str, split: str, suffixes: Collection[str]) -> dict[str, Path]:
    folder = root / kind / split
    if not folder.is_dir():
        raise DataError(
            f"split {split!r} is missing: expected {folder}, beside {root / kind}/SPLIT for each of "
            f"{', '.join(REQUIRED)} and, to confirm a study, {', '.join(OPTIONAL)}."
        )
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.stem in found:
            raise DataError(f"{found[path.stem]} and {path} share the name {path.stem!r}. Remove or rename one.")
        found[path.stem] = path
    return found
