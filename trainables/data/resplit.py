"""Splits a set of the `folder` layout by shares and writes that into its dataset.yaml, which else stays as it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from trainables.data.division import Split, groups, nearest_seed
from trainables.data.faults import refuse
from trainables.data.folder import DESCRIPTION, describe, label_suffixes
from trainables.data.layout import REQUIRED, Layout
from trainables.data.listing import Named, Splits, Tree, divided
from trainables.data.yamledit import with_key
from trainables.errors import ConfigError, DataError, Interrupted, from_validation
from trainables.kept import atomic
from trainables.yamls import load_yaml


@dataclass(frozen=True)
class Resplit:
    """How a set is split now.

    Attributes:
        split: the shares, the seed and what a group is.
        images, groups: how many of each split.
        written: files that are new or have changed; none where all stood there already.
    """

    split: Split
    images: Mapping[str, int]
    groups: Mapping[str, int]
    written: tuple[Path, ...]


def resplit(root: Path, *, lists: str | None = None, **given: Any) -> Resplit:
    """Write the shares into dataset.yaml, or files that list the images of each split.

    Args:
        root: the folder of dataset.yaml.
        lists: folder below it that such files are written into; none: shares.
        given: fields of `Split`. One that is missing is as dataset.yaml has it, so that the same again, or after images
            were added, moves no image; else it has its default, and the seed is that of the nearest shares.

    Raises:
        DataError: no dataset.yaml or a wrong one; a set that is split by folders or lists; an image without mask or
            group; a split that would be empty; a file that cannot be written.
    """
    path = root / DESCRIPTION
    kept = _kept(path, lists)
    fields = {**kept, **given}
    meaning, layout, _ = describe(path, over={"split": fields, "splits": None})
    assert layout.split is not None  # `fields`, which may be empty, stand for its defaults
    _refuse_folders(root, layout)
    named = Tree.of(root, layout, labels=label_suffixes(meaning), fault=refuse).undivided()
    split = layout.split
    if "seed" not in fields:
        split = split.model_copy(update={"seed": nearest_seed(split, _groups(split, named))})
    splits = divided(split, named, _groups(split, named), refuse)
    files = _shares(path, split, kept) if lists is None else _lists(path, lists, splits)
    written = tuple(one for one, content in files.items() if _write(one, content))
    return Resplit(split, {name: len(samples) for name, samples in splits.items()}, _num_groups(split, named), written)


def _kept(path: Path, lists: str | None) -> dict[str, Any]:
    """What dataset.yaml says of shares already; empty for nothing.

    Raises:
        DataError: it has other splits.
    """
    if not path.is_file():
        describe(path)
    try:
        values = load_yaml(path)
        held = Layout.model_validate({"splits": values.get("splits")}).splits
    except ConfigError as error:
        raise DataError(str(error)) from None
    except ValidationError as error:
        raise DataError(str(from_validation(error, known=Layout.model_fields, where=f"{path}: "))) from None
    if held and (lists is None or any(PurePosixPath(one[0]).parent != PurePosixPath(lists) for one in held.values())):
        raise DataError(f"{path} names the splits under `splits`. Remove that to split anew.")
    return values["split"] if isinstance(values.get("split"), dict) else {}


def _refuse_folders(root: Path, layout: Layout) -> None:
    there = [root / "images" / split for split in REQUIRED if (root / "images" / split).is_dir()]
    if layout.images is None and there:
        remedy = f"Move the files of its splits into {root / 'images'} and {root / 'labels'} to split anew"
        raise DataError(f"{root} is split by folders: it has {there[0]}. {remedy}.")


def _groups(split: Split, named: list[Named]) -> list[str]:
    return groups(split, [one.fields for one in named], refuse)


def _num_groups(split: Split, named: list[Named]) -> dict[str, int]:
    of_each = {group: split.of(group) for group in _groups(split, named)}
    return {name: sum(one == name for one in of_each.values()) for name in split.shares}


def _shares(path: Path, split: Split, kept: Mapping[str, Any]) -> dict[Path, bytes]:
    if "seed" in kept and {**Split().model_dump(), **kept} == split.model_dump():
        return {}
    fields = {name: value for name, value in split.model_dump().items() if value is not None}
    return {path: with_key(path, "split", fields)}


def _lists(path: Path, folder: str, splits: Splits) -> dict[Path, bytes]:
    """Files of paths from the set's folder on, a line each."""
    below = PurePosixPath(folder)
    if below.is_absolute() or ".." in below.parts or not below.parts:
        raise DataError(f"lists must be a folder below {path.parent}, such as lists, got {folder!r}.")
    files = {
        path.parent / below / f"{name}.txt": b"".join(
            os.fsencode(f"{sample.image.relative_to(path.parent).as_posix()}\n") for sample in samples
        )
        for name, samples in splits.items()
    }
    for one, content in files.items():
        if one.is_file() and one.read_bytes() != content:
            raise DataError(f"{one} lists other images. Remove it to split anew, or add them by hand.")
    named = {name: f"{below}/{name}.txt" for name in splits}
    return {**files, path: with_key(path, "splits", named, without="split")}


def _write(path: Path, content: bytes) -> bool:
    """Whether it was other."""
    if path.is_file() and path.read_bytes() == content:
        return False
    try:
        atomic.write(path, partial(_fill, content))
    except Interrupted:
        raise DataError(f"{path} cannot be written. Make it writable, or write it by hand.") from None
    return True


def _fill(content: bytes, part: Path) -> None:
    part.write_bytes(content)
