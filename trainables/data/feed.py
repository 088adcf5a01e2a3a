"""The training batches as the loop takes them: normalised, on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.data.loader import Crops, train_batches
from trainables.data.transforms import finish, normalize, to_stride
from trainables.data.windows import Windows, unpack
from trainables.device import memory_format, send


class Batch(NamedTuple):
    """Crops, padded to a multiple of 32: pixels with the mean colour, labels with ignored ones. So a network takes any
    crop, and of the losses, which see what is not ignored, each has the crop's own pixels.

    Attributes:
    entries: each crop's place in the bank of views, on the host; None for fresh crops.
    """

    pixels: Float[Tensor, "batch 3 H W"]
    labels: Int64[Tensor, "batch H W"]
    entries: list[int] | None = None


def feed(dataset: SegDataset, config: TrialConfig, *, device: torch.device, start_step: int = 0) -> Iterator[Batch]:
    """Batches of steps `start_step` to the last; nothing here waits for the device, once the first one has
    brought the look-up table of a set with `ids`. Under `augment_on: device` the crops are made here.

    Raises:
        DataError: as `train_batches`.
    """
    layout = memory_format(config, device)
    for taken in train_batches(dataset, config, start_step=start_step, num_workers=config.num_workers):
        images, ids = _crops(taken, dataset, config, device)
        pixels = to_stride(normalize(images)).to(memory_format=layout)
        yield Batch(pixels, to_stride(dataset.as_classes(ids), dataset.ignore_index), taken.entries)


def _crops(
    taken: Crops | Windows, dataset: SegDataset, config: TrialConfig, device: torch.device
) -> tuple[UInt8[Tensor, "batch 3 H W"], UInt8[Tensor, "batch H W"]]:
    """On the device, made there if they are not."""
    if isinstance(taken, Crops):
        return send(taken.images, device), send(taken.ids, device)
    cuts = unpack(send(taken.packed, device), taken.draws)
    images, ids = zip(*(finish(one, config, pad_id=dataset.pad_id) for one in cuts), strict=True)
    return torch.stack(images), torch.stack(ids)
