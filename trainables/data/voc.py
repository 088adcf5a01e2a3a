"""The `voc` layout: Pascal VOC 2012, with SBD's masks where they are.

JPEGImages/NAME.jpg; SegmentationClass/NAME.png (palette); SegmentationClassAug/NAME.png (grey, the 10,582 of SBD and
VOC together); ImageSets/Segmentation/{train,val,trainaug}.txt, a name a line. Trains on trainaug with
SegmentationClassAug where that folder is, else on train with SegmentationClass; val is SegmentationClass always.
255 is the boundary, ignored. The test split's labels are not public, so the set has none.
"""

from __future__ import annotations

import os
from pathlib import Path

from trainables.data.dataset import Sample, SegDataset
from trainables.data.faults import Fault, first_three, refuse
from trainables.data.matching import inside
from trainables.data.names import in_order

BOUNDARY = 255
CLASSES = {
    "background": (0, 0, 0),
    "aeroplane": (128, 0, 0),
    "bicycle": (0, 128, 0),
    "bird": (128, 128, 0),
    "boat": (0, 0, 128),
    "bottle": (128, 0, 128),
    "bus": (0, 128, 128),
    "car": (128, 128, 128),
    "cat": (64, 0, 0),
    "chair": (192, 0, 0),
    "cow": (64, 128, 0),
    "dining table": (192, 128, 0),
    "dog": (64, 0, 128),
    "horse": (192, 0, 128),
    "motorbike": (64, 128, 128),
    "person": (192, 128, 128),
    "potted plant": (0, 64, 0),
    "sheep": (128, 64, 0),
    "sofa": (0, 192, 0),
    "train": (128, 192, 0),
    "tv monitor": (0, 64, 128),
}


def read_voc(root: Path, *, fault: Fault = refuse) -> SegDataset:
    """Read the lists; no image is opened.

    Args:
        root: VOC2012, or VOCdevkit or the folder that holds it.
        fault: told each broken rule.

    Raises:
        DataError: a list missing, empty or naming a file that is not there (with the line), or a name twice.
    """
    tree = inside(root, "VOCdevkit/VOC2012", "VOC2012")
    augmented = (tree / "SegmentationClassAug").is_dir()
    train = ("trainaug", "SegmentationClassAug") if augmented else ("train", "SegmentationClass")
    return SegDataset(
        name="voc",
        root=tree,
        classes=tuple(CLASSES),
        palette=tuple(CLASSES.values()),
        ignore_index=BOUNDARY,
        ids={number: number for number in (*range(len(CLASSES)), BOUNDARY)},
        splits={"train": _listed(tree, *train, fault), "val": _listed(tree, "val", "SegmentationClass", fault)},
    )


def _listed(tree: Path, name: str, labels: str, fault: Fault) -> tuple[Sample, ...]:
    path = tree / "ImageSets" / "Segmentation" / f"{name}.txt"
    if not path.is_file():
        fault(f"{path} is missing. It lists the images of {labels} to use, a name a line.")
        return ()
    lines = {
        line: text.split()[0]
        for line, text in enumerate(os.fsdecode(path.read_bytes()).splitlines(), 1)
        if text.strip()
    }
    if not lines:
        fault(f"{path} is empty. It must list the images of {labels} to use, a name a line.")
    _refuse_twins(path, lines, fault)
    samples = {line: _sample(tree, labels, text) for line, text in lines.items()}
    absent = [(line, file) for line, pair in samples.items() for file in pair if not file.is_file()]
    gone = [f"line {line} ({file.relative_to(tree)})" for line, file in absent]
    if gone:
        fault(f"{path} names files that are missing: {first_three(gone)}. Add them or remove the lines.", gone)
    return tuple(sorted({pair for line, pair in samples.items() if line not in dict(absent)}, key=_in_order))


def _sample(tree: Path, labels: str, text: str) -> Sample:
    """Lists of other code bases write paths (/JPEGImages/NAME.jpg /SegmentationClassAug/NAME.png): the name counts."""
    name = text.rpartition("/")[2].removesuffix(".jpg")
    return Sample(tree / "JPEGImages" / f"{name}.jpg", tree / labels / f"{name}.png")


def _in_order(sample: Sample) -> bytes:
    return in_order(sample.image)


def _refuse_twins(path: Path, lines: dict[int, str], fault: Fault) -> None:
    first: dict[str, int] = {}
    twins = [
        f"line {line} repeats line {first[text]} ({text})"
        for line, text in lines.items()
        if first.setdefault(text, line) != line
    ]
    if twins:
        fault(f"{path} names an image twice: {first_three(twins)}. Keep one.", twins)
