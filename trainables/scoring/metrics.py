"""mIoU from one confusion matrix over the whole split, kept on the device."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix


class ConfusionMatrix:
    """Counts of (label, prediction) over a split, int64, on the device. CUDA makes the host wait at each batch, where
    ignored pixels are left out; evaluation can afford it."""

    def __init__(self, num_classes: int, *, ignore_index: int, device: torch.device) -> None:
        self.ignore_index = ignore_index
        self.counts = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)

    def add(self, logits: Float[Tensor, "b c h w"], labels: Int[Tensor, "b h w"]) -> None:
        """Count a batch; logits must be on the labels' grid."""
        self.counts += multiclass_confusion_matrix(
            logits.argmax(dim=1),
            labels,
            num_classes=len(self.counts),
            ignore_index=self.ignore_index,
            validate_args=False,
        )

    def iou(self) -> list[float | None]:
        """Intersection over union per class, in [0, 1]; None for a class in neither label nor prediction."""
        hits = self.counts.diag()
        union = self.counts.sum(dim=0) + self.counts.sum(dim=1) - hits
        return [h / u if u else None for h, u in zip(hits.tolist(), union.tolist(), strict=True)]

    def majority_iou(self) -> list[float | None]:
        """As `iou`, of a network that always says the labels' commonest class: its share of the labelled pixels, 0 for
        the others that are labelled."""
        labelled = self.counts.sum(dim=1).tolist()
        commonest, total = max(range(len(labelled)), key=labelled.__getitem__), sum(labelled)
        return [(num / total if number == commonest else 0.0) if num else None for number, num in enumerate(labelled)]


def miou(iou: list[float | None]) -> float:
    """Mean over the classes that occur in label or prediction; NaN where none does.

    Convention: an absent class is left out, neither 0 nor 1.
    """
    present = [value for value in iou if value is not None]
    return sum(present) / len(present) if present else float("nan")
