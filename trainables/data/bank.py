"""The bank of views: with `config.views` = V, the V fixed crops of every training image.

Entry e = image * V + view, image being the index in `dataset.samples("train")`, after which the unlabelled images
count on; `Batch.entries` names them.
"""

from __future__ import annotations

import torch
from jaxtyping import Real
from torch import Tensor

from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.data.order import bank_rng
from trainables.data.transforms import augment


def bank_images(dataset: SegDataset, config: TrialConfig) -> int:
    """Images of the bank: those of the training split, and the unlabelled ones if the trial takes any."""
    return len(dataset.samples("train")) + (len(dataset.unlabelled) if config.num_unlabelled else 0)


def bank_views(dataset: SegDataset, config: TrialConfig, image: int) -> Real[Tensor, "views channels H W"]:
    """All views of a training image, on the CPU, as the stream makes them there.

    With `augment_on: device` on CUDA the stream's own may differ from these by 1/255 (see `transforms.finish`).

    Args:
        image: see above.

    Raises:
        DataError: a file that cannot be read, under `on_corrupt: skip` too; the stream then holds no view of it.
    """
    assert config.views is not None
    labelled, pad_id, bands = dataset.samples("train"), dataset.pad_id, dataset.bands
    if image < len(labelled):
        source, ids = dataset.read_stored(labelled[image])
    else:
        source, ids = dataset.read_unlabelled(dataset.unlabelled[image - len(labelled)])
    made = (augment(source, ids, config, bank_rng(image, v), pad_id=pad_id, bands=bands) for v in range(config.views))
    return torch.stack([crop for crop, _ in made])
