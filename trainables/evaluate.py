"""Predict whole images and score a split."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.data.loader import eval_batches
from trainables.data.transforms import normalize
from trainables.device import autocast, memory_format, pick_device, place
from trainables.losses.grids import to_grid
from trainables.metrics import ConfusionMatrix
from trainables.models.build import build
from trainables.models.segmodel import SegModel

_STRIDE = 32  # every encoder's coarsest; images are padded to a multiple


@torch.no_grad()
def evaluate(student: SegModel, dataset: SegDataset, split: str, config: TrialConfig) -> list[float | None]:
    """Per-class IoU of a split: whole images, one forward each, logits bilinear to the label's size."""
    student.eval()
    device = next(student.parameters()).device
    matrix = ConfusionMatrix(dataset.num_classes, ignore_index=dataset.ignore_index, device=device)
    for images, labels in eval_batches(dataset, split, batch_size=config.batch_size):
        matrix.add(predict(student, images.to(device), config), labels.to(device))
    return matrix.iou()


def predict(
    student: SegModel, images: UInt8[Tensor, "batch 3 H W"], config: TrialConfig
) -> Float[Tensor, "batch classes H W"]:
    """Logits at the images' own size; sides are zero-padded to a multiple of 32 and the logits cropped again."""
    height, width = images.shape[-2:]
    padded = F.pad(normalize(images), (0, -width % _STRIDE, 0, -height % _STRIDE))
    with autocast(config, images.device):
        logits = student(padded.to(memory_format=memory_format(images.device))).logits
    return to_grid(logits, (padded.shape[-2], padded.shape[-1]))[..., :height, :width]


def evaluate_weights(
    config: TrialConfig, weights: dict[str, Tensor], dataset: SegDataset, split: str
) -> list[float | None]:
    """Per-class IoU of a trained student's weights on a split, computed as in its trial."""
    torch.set_num_threads(config.num_threads)
    student = build(config.student, num_classes=dataset.num_classes)
    student.load_state_dict(weights)
    place(student, pick_device(config))
    return evaluate(student, dataset, split, config)
