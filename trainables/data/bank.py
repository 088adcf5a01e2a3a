"""The bank of views: with `config.views` = V, the V fixed crops of every training image.

Entry e = image * V + view, image being the index in `dataset.samples("train")`; `Batch.entries` names them.
"""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.data.order import bank_rng
from trainables.data.transforms import augment


def bank_views(dataset: SegDataset, config: TrialConfig, image: int) -> UInt8[Tensor, "views 3 H W"]:
    """All views of a training image, on the CPU, as the stream makes them there.

    With `augment_on: device` on CUDA the stream's own may differ from these by 1/255 (see `transforms.finish`).

    Args:
        image: index in `dataset.samples("train")`.

    Raises:
        DataError: a file that cannot be read, under `on_corrupt: skip` too; the stream then holds no view of it.
    """
    assert config.views is not None
    source, ids = dataset.read_stored(dataset.samples("train")[image])
    pad_id = dataset.pad_id
    made = (augment(source, ids, config, bank_rng(image, v), pad_id=pad_id) for v in range(config.views))
    return torch.stack([crop for crop, _ in made])
