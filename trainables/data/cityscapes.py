"""The `cityscapes` layout: leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png, gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png.

19 classes out of the 35 ids of labelIds files; the others are ignored, 255 (license plate, -1 in 8 bits) among them.
The test split's labels are not public (its files ignore every pixel), so the set has none.
"""

from __future__ import annotations

from pathlib import Path

from trainables.data.dataset import Sample, SegDataset
from trainables.data.faults import Fault, refuse
from trainables.data.matching import by_key, match
from trainables.data.passed import entries, report, taken

IGNORED = 255
CLASSES = {  # id in the files: name, colour
    7: ("road", (128, 64, 128)),
    8: ("sidewalk", (244, 35, 232)),
    11: ("building", (70, 70, 70)),
    12: ("wall", (102, 102, 156)),
    13: ("fence", (190, 153, 153)),
    17: ("pole", (153, 153, 153)),
    19: ("traffic light", (250, 170, 30)),
    20: ("traffic sign", (220, 220, 0)),
    21: ("vegetation", (107, 142, 35)),
    22: ("terrain", (152, 251, 152)),
    23: ("sky", (70, 130, 180)),
    24: ("person", (220, 20, 60)),
    25: ("rider", (255, 0, 0)),
    26: ("car", (0, 0, 142)),
    27: ("truck", (0, 0, 70)),
    28: ("bus", (0, 60, 100)),
    31: ("train", (0, 80, 100)),
    32: ("motorcycle", (0, 0, 230)),
    33: ("bicycle", (119, 11, 32)),
}
OTHERS = {number: IGNORED for number in (*range(34), 255) if number not in CLASSES}
_IMAGE, _LABEL = "_leftImg8bit.png", "_gtFine_labelIds.png"
_ENDS = {"leftImg8bit": (_IMAGE, _IMAGE), "gtFine": (_LABEL, "_gtFine_")}  # what is read, what may be there


def read_cityscapes(root: Path, *, fault: Fault = refuse) -> SegDataset:
    """List train and val; no image is opened.

    Raises:
        DataError: a split missing or empty; an image without label or a label without image.
    """
    return SegDataset(
        name="cityscapes",
        root=root,
        classes=tuple(name for name, _ in CLASSES.values()),
        palette=tuple(colour for _, colour in CLASSES.values()),
        ignore_index=IGNORED,
        ids={number: place for place, number in enumerate(CLASSES)} | OTHERS,
        splits={split: _split(root, split, fault) for split in ("train", "val")},
    )


def _split(root: Path, split: str, fault: Fault) -> tuple[Sample, ...]:
    rule = f"leftImg8bit/{split}/CITY/NAME{_IMAGE} needs gtFine/{split}/CITY/NAME{_LABEL}"
    found = [_by_name(root / kind / split, *ends, fault) for kind, ends in _ENDS.items()]
    if not all(found):
        empty = root / ("leftImg8bit" if not found[0] else "gtFine") / split
        fault(f"split {split!r} is missing: {empty} holds no city with files of the set. Each {rule}.")
        return ()
    return match(*found, split=split, root=root, rule=rule, fault=fault)


def _by_name(folder: Path, end: str, known: str, fault: Fault) -> dict[str, Path]:
    """The files of all cities under CITY/NAME.

    Args:
        end: of the names that are taken.
        known: what stands in all names that may be there, such as other kinds of label.
    """
    if not folder.is_dir():
        return {}
    wanted = f"CITY/NAME{end}"
    found = entries(folder)
    report(folder, [one for one in found if not one.is_dir()], wanted=wanted, fault=fault)
    paths: list[Path] = []
    for city in (Path(one.path) for one in found if one.is_dir()):
        paths += taken(city, lambda name: known in name, wanted=wanted, fault=fault)
    ending = (path for path in paths if path.name.endswith(end))
    return by_key(ending, lambda path: f"{path.parent.name}/{path.name.removesuffix(end)}", fault)
