"""The training batches as the loop takes them: normalised, on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, Real, UInt8
from torch import Tensor

from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.data.loader import Crops, padding_id, train_batches
from trainables.data.transforms import finish, normalize, to_stride
from trainables.data.windows import Windows, unpack
from trainables.device import memory_format, send
from trainables.ranks import ALONE, Ranks


class Batch(NamedTuple):
    """Crops, padded to a multiple of 32: pixels with the mean colour, labels with ignored ones. So a network takes any
    crop, and of the losses, which see what is not ignored, each has the crop's own pixels.

    Attributes:
    entries: each crop's place in the bank of views, on the host; None for fresh crops.
    real: which pixels are the image's own and no padding; None where no term is taken at pixels without a label.
    """

    pixels: Float[Tensor, "batch channels H W"]
    labels: Int64[Tensor, "batch H W"]
    entries: list[int] | None = None
    real: Bool[Tensor, "batch H W"] | None = None


def feed(
    dataset: SegDataset, config: TrialConfig, *, device: torch.device, start_step: int = 0, ranks: Ranks = ALONE
) -> Iterator[Batch]:
    """Batches of steps `start_step` to the last; nothing here waits for the device, once the first one has
    brought the look-up table of a set with `ids`. Under `augment_on: device` the crops are made here. Of several ranks
    each has its part of every batch.

    Raises:
        DataError: as `train_batches`.
    """
    layout = memory_format(config, device)
    pad_id, workers = padding_id(dataset, config), config.num_workers
    for taken in train_batches(dataset, config, start_step=start_step, num_workers=workers, ranks=ranks):
        images, ids = _crops(taken, dataset, config, device, pad_id=pad_id)
        pixels = to_stride(normalize(images, dataset.bands)).to(memory_format=layout)
        labels, real = _labels(ids, dataset, void=pad_id if config.sees_unlabelled else None)
        yield Batch(pixels, labels, taken.entries, real)


def _labels(
    ids: UInt8[Tensor, "batch h w"], dataset: SegDataset, *, void: int | None
) -> tuple[Int64[Tensor, "batch H W"], Bool[Tensor, "batch H W"] | None]:
    """Class ids and ignore_index, and which pixels are no padding, if that has an id of its own."""
    if void is None:
        return to_stride(dataset.as_classes(ids), dataset.ignore_index), None
    inside = ids != void
    labels = dataset.as_classes(ids).masked_fill(~inside, dataset.ignore_index)
    return to_stride(labels, dataset.ignore_index), to_stride(inside, False)


def _crops(
    taken: Crops | Windows, dataset: SegDataset, config: TrialConfig, device: torch.device, *, pad_id: int
) -> tuple[Real[Tensor, "batch channels H W"], UInt8[Tensor, "batch H W"]]:
    """On the device, made there if they are not."""
    if isinstance(taken, Crops):
        return send(taken.images, device), send(taken.ids, device)
    cuts = unpack(send(taken.packed, device), taken.draws, dataset.bands)
    images, ids = zip(*(finish(one, config, pad_id=pad_id, bands=dataset.bands) for one in cuts), strict=True)
    return torch.stack(images), torch.stack(ids)
