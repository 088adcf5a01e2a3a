"""The `camvid` layout (SegNet's 11 classes): SPLIT/NAME.png and SPLITannot/NAME.png for train, val and test.

Label files hold ids 0-10, and 11 for void, which is ignored.
"""

from __future__ import annotations

from pathlib import Path

from trainables.data.dataset import Sample, SegDataset
from trainables.data.faults import Fault, refuse
from trainables.data.matching import pair_folders

IGNORED = 255
VOID = 11  # in the files
CLASSES = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}


def read_camvid(root: Path, *, fault: Fault = refuse) -> SegDataset:
    """List train, val and, where there is one, test; no image is opened.

    Raises:
        DataError: a split missing or empty; an image without label or a label without image.
    """
    present = [split for split in ("test",) if (root / split).is_dir() or (root / f"{split}annot").is_dir()]
    return SegDataset(
        name="camvid",
        root=root,
        classes=tuple(CLASSES),
        palette=tuple(CLASSES.values()),
        ignore_index=IGNORED,
        ids={number: number for number in range(len(CLASSES))} | {VOID: IGNORED},
        splits={split: _split(root, split, fault) for split in ("train", "val", *present)},
    )


def _split(root: Path, split: str, fault: Fault) -> tuple[Sample, ...]:
    rule = f"{split}/NAME.png needs {split}annot/NAME.png"
    folders = root / split, root / f"{split}annot"
    return pair_folders(*folders, split=split, root=root, suffixes={".png"}, rule=rule, fault=fault)
