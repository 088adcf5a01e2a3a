"""Which importer a folder that is no data set of ours looks made for, by a few of its files' names and first bytes."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

from PIL import Image

_LOOKED_INTO = 2**16  # bytes of a file's start and of its end
_FILES = 20  # of a kind, looked into
_SPLITS = ("train", "valid", "val", "test")
_COCO = (".", "annotations", *_SPLITS)


def remedy(folder: Path) -> str | None:
    """The sentence for what a folder looks like, with the command; None: like nothing that is known."""
    found = next((kind for kind, looks in _KINDS.items() if looks(folder)), None)
    if found is None:
        return None
    command = f"heteroakd data import {found} {shlex.quote(str(folder))} DST"
    said = f"It looks like {_CALLED[found]}: `{command}` makes a data set of it."
    return f"{said} Or name their colours under `colours` in a dataset.yaml." if found == "rgb" else said


def _is_cvat(folder: Path) -> bool:
    return (folder / "labelmap.txt").is_file() and (folder / "SegmentationClass").is_dir()


def _is_supervisely(folder: Path) -> bool:
    return (folder / "meta.json").is_file() and any(folder.glob("**/ann/*.json"))


def _is_roboflow(folder: Path) -> bool:
    return any((folder / part / "_classes.csv").is_file() for part in (".", *_SPLITS))


def _is_yolo(folder: Path) -> bool:
    found = [folder / "data.yaml", *_first(folder.glob("*.yaml"))]
    return any(path.is_file() and path.name != "dataset.yaml" and _holds(path, b"names:", b"train:") for path in found)


def _is_hf(folder: Path) -> bool:
    saved = (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()
    return saved or any(folder.glob("*.parquet")) or any(folder.glob("data/*.parquet"))


def _is_coco(folder: Path) -> bool:
    files = _first(path for part in _COCO for path in (folder / part).glob("*.json"))
    return any(path.name.startswith("instances") or _holds(path, b'"categories"') for path in files)


def _is_labelme(folder: Path) -> bool:
    return any(_holds(path, b'"shapes"') for path in _first(folder.glob("**/*.json")))


def _is_voc_custom(folder: Path) -> bool:
    return (folder / "SegmentationClass").is_dir() or (folder / "SegmentationClassPNG").is_dir()


def _is_rgb(folder: Path) -> bool:
    """The first mask of a folder that is called so has three channels."""
    masks = (path for name in ("masks", "labels", "train_labels", "mask") for path in (folder / name).glob("**/*.png"))
    for path in _first(masks)[:1]:
        try:
            with Image.open(path) as image:
                return image.mode in ("RGB", "RGBA")
        except (OSError, SyntaxError, ValueError):
            return False
    return False


_KINDS: dict[str, Callable[[Path], bool]] = {
    "cvat": _is_cvat,
    "supervisely": _is_supervisely,
    "roboflow": _is_roboflow,
    "coco": _is_coco,
    "yolo": _is_yolo,
    "hf": _is_hf,
    "labelme": _is_labelme,
    "voc-custom": _is_voc_custom,
    "rgb": _is_rgb,
}
_CALLED = {
    "cvat": 'CVAT\'s "Segmentation mask 1.1"',
    "supervisely": "a project of Supervisely",
    "roboflow": "Roboflow's semantic masks",
    "coco": "a COCO export",
    "yolo": "a data set of YOLO",
    "hf": "a saved data set of Hugging Face",
    "labelme": "Labelme's json files",
    "voc-custom": "the layout of Pascal VOC",
    "rgb": "masks of colours",
}


def _first(paths: Iterable[Path]) -> list[Path]:
    """Some of them: the question must not take longer than the answer is worth."""
    return [path for path, _ in zip(paths, range(_FILES), strict=False)]


def _holds(path: Path, *words: bytes) -> bool:
    """Whether a file's start or end has all the words."""
    try:
        with path.open("rb") as file:
            text = file.read(_LOOKED_INTO)
            file.seek(0, 2)
            file.seek(max(len(text), file.tell() - _LOOKED_INTO))
            text += file.read()
    except OSError:
        return False
    return all(word in text for word in words)
