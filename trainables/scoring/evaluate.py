"""Predict whole images and score a split."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from jaxtyping import Float, Real
from torch import Tensor

from trainables.bands import RGB, Bands
from trainables.config import TrialConfig
from trainables.data.dataset import Sample, SegDataset
from trainables.data.folds import group_numbers
from trainables.data.loader import named_batches, none_readable
from trainables.data.transforms import normalize, to_stride
from trainables.device import autocast, memory_format, pick_device, place
from trainables.losses.grids import to_grid
from trainables.models.build import build
from trainables.models.segmodel import SegModel
from trainables.ranks import ALONE, Ranks
from trainables.scoring.metrics import ConfusionMatrix, Score

_MOST_LOGITS = 2**28  # of one forward: 1 GiB in fp32


def evaluate(student: SegModel, dataset: SegDataset, split: str, config: TrialConfig, ranks: Ranks = ALONE) -> Score:
    """mIoU of a split, logits on the label's own grid. Under `on_corrupt: skip` damaged samples are left out.

    Its interval draws the groups of `fold_by` or, where that is none, those that the data set declares; else images.

    Args:
        ranks: that share the images, and get the same answer.

    Raises:
        DataError: a sample that cannot be read; under skip, no sample that can be.
    """
    seen: list[Sample] = []
    matrix = confusion(student, dataset, split, config, ranks, seen=seen)
    return matrix.score(group_numbers(dataset, seen, by=config.fold_by))


@torch.no_grad()
def confusion(
    student: SegModel,
    dataset: SegDataset,
    split: str,
    config: TrialConfig,
    ranks: Ranks = ALONE,
    *,
    seen: list[Sample] | None = None,
) -> ConfusionMatrix:
    """What `evaluate` counts.

    Args:
        seen: takes the samples that were counted, by whichever rank, in the matrix's order of images.
    """
    student.eval()
    dataset.keep_decoded(config.image_cache)
    device = next(student.parameters()).device
    matrix = ConfusionMatrix(dataset.num_classes, ignore_index=dataset.ignore_index, device=device)
    counted: list[Sample] = []
    size, on_corrupt = config.batch_size, config.on_corrupt
    for samples, images, labels in named_batches(dataset, split, size, on_corrupt=on_corrupt, ranks=ranks):
        counted += samples
        num_images = max(1, _MOST_LOGITS // (dataset.num_classes * labels[0].numel()))
        for part, truth in zip(images.split(num_images), labels.split(num_images), strict=True):
            matrix.add(predict(student, part.to(device), config, dataset.bands), truth.to(device))
    if ranks.size > 1:
        every = dataset.samples(split)
        place = {sample: number for number, sample in enumerate(every)}
        counted = [every[found] for found in matrix.gather(ranks, [place[one] for one in counted], num=len(every))]
        if not counted:
            raise none_readable(dataset, split)
    if seen is not None:
        seen += counted
    return matrix


def predict(
    student: SegModel, images: Real[Tensor, "batch channels H W"], config: TrialConfig, bands: Bands = RGB
) -> Float[Tensor, "batch classes H W"]:
    """Logits at the images' own size; computed eagerly, since a compiled network would be compiled for every size.

    `eval_mode: whole` is one forward, the sides zero-padded to a multiple of 32 and the logits cropped again. `slide`
    is one for each window of the crop's size: they start every `eval_stride` crops, the last ends with the image, and
    logits are averaged where they overlap. A side no longer than the crop is one window, padded as in `whole`; where
    both sides are, the two modes are the same.

    Args:
        images: as stored, of `bands`.
    """
    pixels = normalize(images, bands)
    return windowed(pixels, config, lambda window: _padded(student, window, config))


def windowed(
    images: Real[Tensor, "batch channels H W"], config: TrialConfig, forward: Callable[[Tensor], Tensor]
) -> Float[Tensor, "batch classes H W"]:
    """One forward of the whole images or, under `slide`, of each window, averaged; see `predict`.

    Args:
        forward: images to logits of the same sides.
    """
    if config.eval_mode == "whole":
        return forward(images)
    rows = window_starts(images.shape[-2], config.crop_height, config.eval_stride)
    columns = window_starts(images.shape[-1], config.crop_width, config.eval_stride)
    found = _Average(images)
    for top, left in itertools.product(rows, columns):
        window = images[..., top : top + config.crop_height, left : left + config.crop_width]
        found.add(forward(window), top, left)
    return found.mean()


class _Average:
    """Mean of windows of logits over the windows that cover each pixel."""

    def __init__(self, images: Real[Tensor, "batch channels H W"]) -> None:
        self._count = torch.zeros(images.shape[-2:], device=images.device)
        self._total: Tensor | None = None
        self._shape = images.shape

    def add(self, logits: Float[Tensor, "batch classes h w"], top: int, left: int) -> None:
        if self._total is None:
            batch, _, height, width = self._shape
            self._total = logits.new_zeros(batch, logits.shape[1], height, width)
        place = (..., slice(top, top + logits.shape[-2]), slice(left, left + logits.shape[-1]))
        self._total[place] += logits
        self._count[place] += 1

    def mean(self) -> Float[Tensor, "batch classes H W"]:
        assert self._total is not None
        return self._total / self._count


def window_starts(length: int, window: int, stride: float) -> list[int]:
    """Where windows start along one side: every `stride` windows (at least 1 pixel), the last flush with the end."""
    last = max(0, length - window)
    return [*range(0, last, max(1, round(stride * window))), last]


def _padded(
    student: SegModel, pixels: Float[Tensor, "batch channels H W"], config: TrialConfig
) -> Float[Tensor, "batch classes H W"]:
    height, width = pixels.shape[-2:]
    padded = to_stride(pixels)
    with autocast(config, pixels.device):
        logits = student.forward(padded.contiguous(memory_format=memory_format(config, pixels.device))).logits
    size = (padded.shape[-2], padded.shape[-1])
    return to_grid(logits, size, align_corners=config.align_corners)[..., :height, :width]


def evaluate_weights(config: TrialConfig, weights: dict[str, Tensor], dataset: SegDataset, split: str) -> Score:
    """A trained student's weights on a split, scored as in its trial."""
    torch.set_num_threads(config.num_threads)
    student = build(config.student, num_classes=dataset.num_classes, channels=dataset.bands.channels)
    student.load_state_dict(weights)
    place(student, config, pick_device(config))
    return evaluate(student, dataset, split, config)
