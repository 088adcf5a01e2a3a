"""mIoU from one confusion matrix over the whole split, kept on the device, and what each image adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from trainables.ranks import Ranks
from trainables.scoring.interval import interval


class Score(NamedTuple):
    """How a network does on a split, in [0, 1].

    Attributes:
        miou: mean of `iou`; NaN where nothing is labelled.
        low, high: its 90 % interval over images (see `interval.py`); None: one image, or none.
        iou: per class; None for a class in neither label nor prediction.
    """

    miou: float
    low: float | None
    high: float | None
    iou: list[float | None]

    def named(self, prefix: str = "") -> dict[str, float | list[float | None] | None]:
        """As reports and records name them: miou, miou_low, miou_high, iou, each behind a prefix."""
        values = {"miou": self.miou, "miou_low": self.low, "miou_high": self.high, "iou": self.iou}
        return {prefix + name: value for name, value in values.items()}


class ConfusionMatrix:
    """Counts of (label, prediction) over a split, int64, on the device. CUDA makes the host wait at each image, where
    ignored pixels are left out; evaluation can afford it.

    Of each image two rows stay, intersection and union by class: 16 bytes a class.
    """

    def __init__(self, num_classes: int, *, ignore_index: int, device: torch.device) -> None:
        self.ignore_index = ignore_index
        self.counts = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)
        self._of_images: list[Int64[Tensor, "2 classes"]] = []

    def add(self, logits: Float[Tensor, "b c h w"], labels: Int[Tensor, "b h w"]) -> None:
        """Count a batch; logits must be on the labels' grid."""
        for guesses, truth in zip(logits.argmax(dim=1), labels, strict=True):
            found = self._count(guesses, truth)
            self.counts += found
            self._of_images.append(torch.stack(_parts(found)))

    def _count(self, guesses: Int64[Tensor, "h w"], truth: Int[Tensor, "h w"]) -> Int64[Tensor, "classes classes"]:
        """As torchmetrics counts, which takes seconds to import: its metrics of texts load transformers."""
        size, labelled = len(self.counts), truth != self.ignore_index
        pairs = truth[labelled].long() * size + guesses[labelled]
        return torch.bincount(pairs, minlength=size**2).view(size, size)

    def gather(self, ranks: Ranks, places: Sequence[int], *, num: int) -> list[int]:
        """Take in what the other ranks have counted, in the order of the images' places in their split.

        Args:
            places: of the images that were added here.
            num: places of the split.

        Returns:
            Those whose image was counted by one of the ranks.
        """
        size, device = len(self.counts), self.counts.device
        whole = torch.zeros(num, 2, size, dtype=torch.int64, device=device)
        there = torch.zeros(num, dtype=torch.int64, device=device)
        if self._of_images:
            whole[list(places)], there[list(places)] = torch.stack(self._of_images), 1
        whole, there = ranks.total(whole), ranks.total(there)
        self.counts = ranks.total(self.counts)
        found: list[int] = there.nonzero()[:, 0].tolist()
        self._of_images = list(whole[found])
        return found

    def iou(self) -> list[float | None]:
        """Intersection over union per class, in [0, 1]; None for a class in neither label nor prediction."""
        hits, union = _parts(self.counts)
        return [h / u if u else None for h, u in zip(hits.tolist(), union.tolist(), strict=True)]

    def images(self) -> Int64[np.ndarray, "images 2 classes"]:
        """Pixels of intersection and union by class, of each image in the order in which they were added."""
        if not self._of_images:
            return np.zeros((0, 2, len(self.counts)), dtype=np.int64)
        return torch.stack(self._of_images).cpu().numpy()

    def score(self, groups: Sequence[int] | None = None) -> Score:
        """mIoU, its interval over images, and what it is a mean of.

        Args:
            groups: of each image, the number of what is drawn with it, such as its scene; None: each for itself.
        """
        iou, images = self.iou(), self.images()
        low, high = interval(images[:, 0], images[:, 1], groups=groups) or (None, None)
        return Score(miou(iou), low, high, iou)

    def majority_iou(self) -> list[float | None]:
        """As `iou`, of a network that always says the labels' commonest class: its share of the labelled pixels, 0 for
        the others that are labelled."""
        labelled = self.counts.sum(dim=1).tolist()
        commonest, total = max(range(len(labelled)), key=labelled.__getitem__), sum(labelled)
        return [(num / total if number == commonest else 0.0) if num else None for number, num in enumerate(labelled)]


def _parts(counts: Int64[Tensor, "classes classes"]) -> tuple[Tensor, Tensor]:
    """Intersection and union by class."""
    hits = counts.diag()
    return hits, counts.sum(dim=0) + counts.sum(dim=1) - hits


def miou(iou: list[float | None]) -> float:
    """Mean over the classes that occur in label or prediction; NaN where none does.

    Convention: an absent class is left out, neither 0 nor 1.
    """
    present = [value for value in iou if value is not None]
    return sum(present) / len(present) if present else float("nan")
