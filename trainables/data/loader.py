"""Batches: augmented crops to train on, whole images to evaluate on; uint8 images, for `normalize` on the device."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from trainables.config import Recipe
from trainables.data.dataset import SegDataset
from trainables.data.order import image_at, view_rng
from trainables.data.transforms import augment
from trainables.errors import DataError

Batch = tuple[UInt8[Tensor, "batch 3 height width"], Int64[Tensor, "batch height width"]]


def train_batches(dataset: SegDataset, recipe: Recipe, *, start_step: int = 0, num_workers: int = 0) -> Iterator[Batch]:
    """Batches of steps `start_step` to `recipe.steps - 1`, a function of (recipe, step) alone.

    No global random state is read or changed. With CUDA the batches are pinned, for `non_blocking` copies.

    Raises:
        DataError: while iterating, at a file that cannot be read.
    """
    assert 0 <= start_step <= recipe.steps
    loader = DataLoader(
        TrainStream(dataset, recipe),
        batch_size=None,
        sampler=range(start_step, recipe.steps),
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # else every iterator draws a seed from the global one
    )
    for batch in loader:
        if isinstance(batch, DataError):
            raise batch
        images, labels = batch
        yield images, labels


class TrainStream(Dataset):
    """The training batches, indexed by step.

    An unreadable file is returned, not raised: a loader process would turn its one sentence into a traceback's text.
    """

    def __init__(self, dataset: SegDataset, recipe: Recipe) -> None:
        self._dataset = dataset
        self._recipe = recipe
        self._samples = dataset.samples("train")

    def __getitem__(self, step: int) -> Batch | DataError:
        first = step * self._recipe.batch_size
        try:
            views = [self._view(position) for position in range(first, first + self._recipe.batch_size)]
        except DataError as error:
            return error
        images, labels = default_collate(views)  # in a loader process: straight into shared memory
        return images, labels

    def _view(self, position: int) -> tuple[Tensor, Tensor]:
        seed = self._recipe.seed
        sample = self._samples[image_at(position, num_images=len(self._samples), seed=seed)]
        image, label = self._dataset.read(sample)
        rng = view_rng(position, seed=seed)
        return augment(image, label, self._recipe, rng, ignore_index=self._dataset.ignore_index)


def eval_batches(dataset: SegDataset, split: str, batch_size: int) -> Iterator[Batch]:
    """Whole images of a split in order; neighbours of equal size share a batch of at most `batch_size`.

    Raises:
        DataError: while iterating: no such split, or a file that cannot be read.
    """
    pairs = map(dataset.read, dataset.samples(split))
    for _, of_one_size in itertools.groupby(pairs, key=lambda pair: pair[1].shape):
        while chunk := list(itertools.islice(of_one_size, batch_size)):
            images, labels = zip(*chunk, strict=True)
            yield torch.stack(images), torch.stack(labels).long()
