"""The `folder` layout: your own set, described by its dataset.yaml. images/SPLIT/NAME.jpg (or .png, ...) and
labels/SPLIT/NAME.png, and images/unlabelled/NAME.jpg, which need no mask, unless it says otherwise.

dataset.yaml holds `classes` (names, in the order of their ids, or a mapping of ids to names; YOLO's `names` is read
likewise) and may hold `name` (else the folder's), `palette` (RGB of each class; else colours far apart), `ignore_index`
(else 255); what ids or colours of the masks mean (`ids`, `colours`, `ignore`: `meaning.Meaning`); where files lie and
how they are split (`images`, `masks`, `unlabelled`, `splits`, `split`: `layout.Layout`); what images are that are not
RGB of 8 bits (`channels`, `scale`, `mean`, `std`, `shown`: `bands.Declared`). Other keys are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from trainables.bands import RGB, Bands, Declared
from trainables.data.dataset import Sample, SegDataset
from trainables.data.division import Split
from trainables.data.faults import Fault, refuse
from trainables.data.images import SUFFIXES
from trainables.data.layout import OPTIONAL, REQUIRED, UNLABELLED, Layout
from trainables.data.listing import Listing, list_files
from trainables.data.masks import SUFFIXES as LABEL_SUFFIXES
from trainables.data.matching import listed, pair_folders
from trainables.data.meaning import Meaning, with_names
from trainables.data.passed import refuse_strays
from trainables.data.recognised import remedy
from trainables.errors import ConfigError, DataError, from_validation
from trainables.yamls import load_yaml

DESCRIPTION = "dataset.yaml"

_MARKS = {  # folders by which a tree of another layout is known
    "cityscapes": "leftImg8bit",
    "voc": "ImageSets/Segmentation",
    "ade20k": "annotations/training",
    "camvid": "trainannot",
}

Described = TypeVar("Described", bound=BaseModel)


def read_folder(root: Path, *, fault: Fault = refuse) -> SegDataset:
    """Read dataset.yaml and list the splits; no image is opened.

    Args:
        root: the tree.
        fault: told each broken rule. A dataset.yaml that cannot be used leaves the set without classes.

    Raises:
        DataError: no dataset.yaml or a wrong field in it; a split missing or empty; an image without label or a label
            without image; a file that would be passed over. Always for a tree that an importer reads.
    """
    if not (root / DESCRIPTION).is_file() and (import_it := remedy(root)):
        raise DataError(f"{root / DESCRIPTION} is missing. {import_it}{_known_layout(root)}")
    meaning, layout, bands = describe(root / DESCRIPTION, fault)
    listing = _listing(root, layout, label_suffixes(meaning), fault)
    return SegDataset(
        name=meaning.name or root.resolve().name,
        root=root,
        classes=meaning.classes,
        palette=meaning.class_palette,
        ignore_index=meaning.ignore_index,
        ids=meaning.mapped,
        coding=meaning.coding,
        bands=bands,
        splits=listing.splits,
        unlabelled=listing.unlabelled,
        groups=dict(listing.groups),
    )


def describe(
    path: Path, fault: Fault = refuse, *, over: Mapping[str, Any] | None = None
) -> tuple[Meaning, Layout, Bands]:
    """What dataset.yaml says; after a fault, what a set without it would be.

    Args:
        path: of dataset.yaml.
        fault: told each broken rule.
        over: fields that count in the place of its own.

    Raises:
        DataError: there is none, or a field is wrong; or what `fault` raises.
    """
    try:
        values = {**_values(path), **(over or {})}
    except DataError as error:
        fault(str(error))
        return Meaning.model_construct(), Layout(), RGB
    bands = _validated(Declared, values, path, fault) or Declared()
    meaning = _validated(Meaning, values, path, fault) or Meaning.model_construct()
    return meaning, _validated(Layout, values, path, fault) or Layout(), bands.bands


def label_suffixes(meaning: Meaning) -> frozenset[str]:
    """Endings of the masks, lower case: colours may stand in any image, ids in some alone."""
    return LABEL_SUFFIXES if meaning.colours is None else SUFFIXES


def _values(path: Path) -> dict[str, Any]:
    if not path.is_file():
        example = "Write one that names the classes, such as `classes: [road, sky]`."
        raise DataError(f"{path} is missing. {example}{_known_layout(path.parent)}")
    try:
        return with_names(load_yaml(path), path)
    except ConfigError as error:
        raise DataError(str(error)) from None


def _known_layout(root: Path) -> str:
    """The end of a sentence, for a tree of a layout that is read as it is."""
    known = (f" Or is it {name}:{root}?" for name, mark in _MARKS.items() if (root / mark).is_dir())
    return next(known, "")


def _validated(kind: type[Described], values: dict[str, Any], path: Path, fault: Fault) -> Described | None:
    try:
        return kind.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        known = {*kind.model_fields, *Split.model_fields}
        fault(str(from_validation(error, known=known, where=f"{path}: ")))
        return None


def _listing(root: Path, layout: Layout, labels: frozenset[str], fault: Fault) -> Listing:
    if not layout.is_plain:
        return list_files(root, layout, labels=labels, fault=fault)
    named = (*REQUIRED, *OPTIONAL)
    for kind, folders in (("images", (*named, UNLABELLED)), ("labels", named)):
        refuse_strays(root / kind, folders, SUFFIXES, fault)
    present = [split for split in OPTIONAL if any((root / kind / split).is_dir() for kind in ("images", "labels"))]
    splits = {split: _pair(root, split, labels, fault) for split in (*REQUIRED, *present)}
    return Listing(splits, _unlabelled(root / "images" / UNLABELLED, fault))


def _unlabelled(folder: Path, fault: Fault) -> tuple[Path, ...]:
    return tuple(listed(folder, SUFFIXES, fault)) if folder.is_dir() else ()


def _pair(root: Path, split: str, labels: frozenset[str], fault: Fault) -> tuple[Sample, ...]:
    folders = root / "images" / split, root / "labels" / split
    for folder in folders:
        if not folder.is_dir():
            fault(
                f"split {split!r} is missing: expected {folder}, beside {folder.parent}/SPLIT for each of "
                f"{', '.join(REQUIRED)} and, to confirm a study, {', '.join(OPTIONAL)}."
            )
            return ()
    rule = f"images/{split}/NAME.* needs labels/{split}/NAME.png"
    return pair_folders(
        *folders, split=split, root=root, suffixes=SUFFIXES, label_suffixes=labels, rule=rule, fault=fault
    )
