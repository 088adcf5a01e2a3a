"""What a data set suggests for its trials: crops that fit, classes that cannot be learned or scored."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from trainables.data.dataset import SegDataset
from trainables.data.facts import SplitFacts
from trainables.data.faults import counted
from trainables.published import CROPS
from trainables.recipe import Recipe

_LARGEST_CROP = 512
FEW = 200
"""Images of train and val, below which folds are recommended."""
_MOST = 20  # classes named in a sentence


def advice(dataset: SegDataset, splits: Sequence[SplitFacts]) -> list[str]:
    """Sentences; none for a set without readable images."""
    counted_splits = [(facts.name, facts.num_samples) for facts in splits]
    return [*_crops(dataset, splits), *notes(dataset, splits), *_clear(splits), *few(counted_splits)]


def _crops(dataset: SegDataset, splits: Sequence[SplitFacts]) -> list[str]:
    sizes = next((facts.sizes for facts in splits if facts.sizes), [])
    if not sizes:
        return []
    default = (int(Recipe.model_fields["crop_height"].default), int(Recipe.model_fields["crop_width"].default))
    crop = CROPS.get(dataset.name, default)
    middle = tuple(int(median(side)) for side in zip(*sizes, strict=True))
    fitting = tuple(max(32, min(_LARGEST_CROP, side) // 32 * 32) for side in middle)
    covered = min(1.0, crop[0] / middle[0]) * min(1.0, crop[1] / middle[1])
    said = f"Crops are {_by(crop)} unless a study says otherwise; the median image is {_by(middle)} (height x width)"
    remedy = f"Such as: --set crop_height={fitting[0]} --set crop_width={fitting[1]}."
    if crop[0] > middle[0] or crop[1] > middle[1]:
        return [f"{said}: part of each crop would be padding. {remedy}"]
    if covered < 0.2 and dataset.name not in CROPS:
        return [f"{said}: a crop at scale 1 sees {100 * covered:.0f} % of it. {remedy}"]
    return [f"{said}."]


def notes(dataset: SegDataset, splits: Sequence[SplitFacts]) -> list[str]:
    """What a user should know before the first trial: classes without a pixel, images that are turned."""
    return [*_absences(dataset, splits), *_turned(splits)]


def few(splits: Sequence[tuple[str, int]]) -> list[str]:
    """One sentence where train and val together, by name and number of images, are fewer than FEW."""
    num = sum(count for name, count in splits if name in ("train", "val"))
    if not {"train", "val"} <= {name for name, _ in splits} or num >= FEW:
        return []
    return [
        f"train and val have {num} images, and a trial is scored on val alone: `--set folds=5` scores it on all of "
        "them, and takes 5 times as long."
    ]


def _turned(splits: Sequence[SplitFacts]) -> list[str]:
    told = ((counted(facts.turned, "image"), facts.name) for facts in splits if facts.turned)
    rule = "Masks must lie on the upright image."
    return [f"Turned upright, as EXIF says: {number} of {name}. {rule}" for number, name in told]


def _clear(splits: Sequence[SplitFacts]) -> list[str]:
    told = ((counted(facts.alpha, "image"), facts.name) for facts in splits if facts.alpha)
    return [f"Alpha is left out: {number} of {name} with it." for number, name in told]


def _absences(dataset: SegDataset, splits: Sequence[SplitFacts]) -> list[str]:
    said = []
    for facts in splits:
        absent = [name for name, count in zip(dataset.classes, facts.class_counts(dataset), strict=True) if not count]
        if absent and facts.num_masks:
            where = facts.name if facts.num_masks == facts.num_samples else f"the masks read of {facts.name}"
            what = "cannot be learned" if facts.name == "train" else "will be left out of its mIoU unless predicted"
            named = ", ".join(absent[:_MOST]) + (f" and {len(absent) - _MOST} more" if len(absent) > _MOST else "")
            said.append(f"No pixel of {where} is {named}: {what}.")
    return said


def _by(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"
