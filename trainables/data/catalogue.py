"""From the name in a config to an opened data set."""

from __future__ import annotations

from pathlib import Path

from trainables.data import DATASETS
from trainables.data.dataset import SegDataset
from trainables.data.faults import Fault, refuse
from trainables.data.few import Few
from trainables.data.folder import read_folder
from trainables.data.own import Own
from trainables.errors import DataError, unknown


def open_dataset(name_or_path: str, *, fault: Fault = refuse) -> SegDataset:
    """List a data set's files and read its description; no image is opened (`check.verify` does that).

    Args:
        name_or_path: `NAME` of DATASETS, `NAME:PATH` for that set's layout at PATH, or the path of a folder with
            dataset.yaml. A name wins over a folder of the same name; write `./NAME` for the folder. Or your own:
            `package.module:name`, or `package.module:name:PATH`. `@30` behind it: with 30 labels, see `few.py`.
        fault: told what a layout refuses; the doctor's notes it and goes on.

    Raises:
        DataError: no such name or folder, or a tree that its layout refuses.
    """
    few = Few.parse(name_or_path)
    return few.of(_opened(few.data, fault))


def _opened(name_or_path: str, fault: Fault) -> SegDataset:
    if own := Own.parse(name_or_path):
        return own.open()
    name, _, path = name_or_path.partition(":")
    if name not in DATASETS:
        return read_folder(_existing(name_or_path), fault=fault)
    source = DATASETS[name]
    if path:
        return source.read(_existing(path), fault=fault)
    if source.root is None:
        raise DataError(f"data set {name!r} needs its path, got {name_or_path!r}. Write {name}:PATH.")
    return source.read(source.root, fault=fault)


def absolute(name_or_path: str) -> str:
    """The same data set, said so that a process in another folder finds it too."""
    few = Few.parse(name_or_path)
    return few.named(_absolute(few.data))


def _absolute(name_or_path: str) -> str:
    if own := Own.parse(name_or_path):
        return own.absolute()
    name, colon, path = name_or_path.partition(":")
    if name not in DATASETS:
        return str(Path(name_or_path).expanduser().resolve())
    return f"{name}:{Path(path).expanduser().resolve()}" if colon else name


def _existing(path: str) -> Path:
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DataError(unknown("data set", path, DATASETS, "Or give the path of a folder with dataset.yaml."))
    return root
