"""Batches: augmented crops to train on, whole images to evaluate on; uint8 images, for `normalize` on the device."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from trainables.config import Recipe, TrialConfig
from trainables.data.dataset import SegDataset, faulty
from trainables.data.order import images_from, view_rng
from trainables.data.transforms import augment
from trainables.errors import DataError

Batch = tuple[UInt8[Tensor, "batch 3 height width"], Int64[Tensor, "batch height width"]]
Views = tuple[Batch, list[str]]  # with the files that were passed over for it
OnCorrupt = Literal["fail", "skip"]


def train_batches(
    dataset: SegDataset, recipe: Recipe | TrialConfig, *, start_step: int = 0, num_workers: int = 0
) -> Iterator[Batch]:
    """Batches of steps `start_step` to `recipe.steps - 1`, a function of (recipe, step) alone.

    No global random state is read or changed. With CUDA the batches are pinned, for `non_blocking` copies. Under
    `on_corrupt: skip` a damaged sample's place is taken by the next one of its epoch, cut by the same draws;
    `dataset.take_skipped()` then names the file, in the process that iterates.

    Raises:
        DataError: while iterating, at a file that cannot be read; under skip, where none can be.
    """
    assert 0 <= start_step <= recipe.steps
    on_corrupt = recipe.on_corrupt if isinstance(recipe, TrialConfig) else "fail"
    loader = DataLoader(
        TrainStream(dataset, recipe, on_corrupt=on_corrupt),
        batch_size=None,
        sampler=range(start_step, recipe.steps),
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # else every iterator draws a seed from the global one
    )
    for found in loader:
        if isinstance(found, DataError):
            raise found
        (images, labels), skipped = found
        for name in skipped:
            dataset.skip(name)
        yield images, labels


class TrainStream(Dataset):
    """The training batches, indexed by step.

    An unreadable file is returned, not raised: a loader process would turn its one sentence into a traceback's text.
    """

    def __init__(self, dataset: SegDataset, recipe: Recipe, *, on_corrupt: OnCorrupt = "fail") -> None:
        self._dataset = dataset
        self._recipe = recipe
        self._samples = dataset.samples("train")
        self._on_corrupt = on_corrupt

    def __getitem__(self, step: int) -> Views | DataError:
        first = step * self._recipe.batch_size
        skipped: list[str] = []
        try:
            views = [self._view(position, skipped) for position in range(first, first + self._recipe.batch_size)]
        except DataError as error:
            return error
        images, labels = default_collate(views)  # in a loader process: straight into shared memory
        return (images, labels), skipped

    def _view(self, position: int, skipped: list[str]) -> tuple[Tensor, Tensor]:
        image, ids = self._read(position, skipped)
        rng = view_rng(position, seed=self._recipe.seed)
        image, ids = augment(image, ids, self._recipe, rng, ignore_index=self._dataset.pad_id)
        return image, self._dataset.as_classes(ids)

    def _read(self, position: int, skipped: list[str]) -> tuple[Tensor, Tensor]:
        for index in images_from(position, num_images=len(self._samples), seed=self._recipe.seed):
            try:
                return self._dataset.read_stored(self._samples[index])
            except DataError as error:
                if self._on_corrupt == "fail":
                    raise
                skipped.append(faulty(self._samples[index], error))
        raise none_readable(self._dataset, "train")


def eval_batches(
    dataset: SegDataset, split: str, batch_size: int, *, on_corrupt: OnCorrupt = "fail"
) -> Iterator[Batch]:
    """Whole images of a split in order; neighbours of equal size share a batch of at most `batch_size`.

    Under skip, damaged samples are left out and `dataset.take_skipped()` names their files.

    Raises:
        DataError: while iterating: no such split, a file that cannot be read or, under skip, no sample that can be.
    """
    pairs = _readable(dataset, split) if on_corrupt == "skip" else map(dataset.read, dataset.samples(split))
    for _, of_one_size in itertools.groupby(pairs, key=lambda pair: pair[1].shape):
        while chunk := list(itertools.islice(of_one_size, batch_size)):
            images, labels = zip(*chunk, strict=True)
            yield torch.stack(images), torch.stack(labels).long()


def _readable(dataset: SegDataset, split: str) -> Iterator[tuple[Tensor, Tensor]]:
    found = False
    for sample in dataset.samples(split):
        try:
            pair = dataset.read(sample)
        except DataError as error:
            dataset.skip(faulty(sample, error))
            continue
        found = True
        yield pair
    if not found:
        raise none_readable(dataset, split)


def none_readable(dataset: SegDataset, split: str) -> DataError:
    return DataError(f"{dataset.root} holds no sample of {split!r} that can be read. `heteroakd data check` says why.")
