"""Batches: crops to train on, or the windows behind them, and whole images to evaluate on; all as stored."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Int64, Real, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from trainables.config import TrialConfig
from trainables.data.dataset import Sample, SegDataset, faulty
from trainables.data.order import Place, bank_rng, bank_view, images_from, own_part, places, view_rng
from trainables.data.transforms import Cut, cut, draw, finish
from trainables.data.windows import Windows, pack
from trainables.device import pick_device
from trainables.errors import ConfigError, DataError
from trainables.ranks import ALONE, Ranks
from trainables.recipe import Recipe

EvalBatch = tuple[Real[Tensor, "batch channels height width"], Int64[Tensor, "batch height width"]]
OnCorrupt = Literal["fail", "skip"]


class Crops(NamedTuple):
    """Attributes:
    ids: as in the files, for `SegDataset.as_classes`; padded with `padding_id`.
    entries: as in `feed.Batch`.
    """

    images: Real[Tensor, "batch channels height width"]
    ids: UInt8[Tensor, "batch height width"]
    entries: list[int] | None


def train_batches(
    dataset: SegDataset, config: TrialConfig, *, start_step: int = 0, num_workers: int = 0, ranks: Ranks = ALONE
) -> Iterator[Crops | Windows]:
    """Batches of steps `start_step` to `config.steps - 1`, a function of (config, step) alone: crops, or under
    `augment_on: device` what `feed` makes the same crops of. Of several ranks each has its part of every batch.

    No global random state is read or changed. For CUDA the batches are pinned, for `non_blocking` copies. Loader
    processes live as long as the trial: its steps are one pass over the loader. Under `on_corrupt: skip` a damaged
    sample's place is taken by the next one of its epoch, cut by the same draws (or in its own view of the bank);
    `dataset.take_skipped()` then names the file, in the process that iterates.

    Raises:
        ConfigError: see `check_jitter`.
        DataError: while iterating, at a file that cannot be read; under skip, where none can be.
    """
    check_jitter(config, dataset)
    assert 0 <= start_step <= config.steps
    dataset.keep_decoded(config.image_cache)
    loader = DataLoader(
        TrainStream(dataset, config, ranks),
        batch_size=None,
        sampler=range(start_step, config.steps),
        num_workers=num_workers,
        pin_memory=pick_device(config).type == "cuda",
        generator=torch.Generator(),  # else every iterator draws a seed from the global one
    )
    for found in loader:
        if isinstance(found, DataError):
            raise found
        taken, skipped = found
        for name in skipped:
            dataset.skip(name)
        yield taken


def check_jitter(recipe: Recipe, dataset: SegDataset) -> None:
    """Raises:
    ConfigError: colours are to be jittered in images that have none.
    """
    if recipe.color_jitter and not dataset.bands.is_photo:
        raise ConfigError(
            f"color_jitter is {recipe.color_jitter:g}, but it is of RGB images of 8 bits, and those of {dataset.root} "
            f"have {dataset.bands.words}. Set it to 0."
        )


class TrainStream(Dataset):
    """The training batches, indexed by step, each with the files that were passed over for it.

    An unreadable file is returned, not raised: a loader process would turn its one sentence into a traceback's text.
    """

    def __init__(self, dataset: SegDataset, config: TrialConfig, ranks: Ranks = ALONE) -> None:
        """Raises:
        DataError: no such split, or unlabelled images are wanted and there is none.
        """
        self._dataset = dataset
        self._config = config
        self._ranks = ranks
        self._samples = dataset.samples("train")
        self._pad_id = padding_id(dataset, config)
        if config.num_unlabelled and not dataset.unlabelled:
            raise without_unlabelled(dataset, config)

    def __getitem__(self, step: int) -> tuple[Crops | Windows, list[str]] | DataError:
        config = self._config
        skipped: list[str] = []
        try:
            whole = places(step, batch_size=config.batch_size, num_unlabelled=config.num_unlabelled)
            own = own_part(whole, parts=config.accumulate, ranks=self._ranks)
            found = [self._cut(place, skipped) for place in own]
        except DataError as error:
            return error
        cuts = [taken for taken, _ in found]
        entries = [entry for _, entry in found if entry is not None] or None
        return self._batch(cuts, entries), skipped

    def _batch(self, cuts: list[Cut], entries: list[int] | None) -> Crops | Windows:
        if self._config.augment_on == "device":
            return pack(cuts, entries, self._dataset.bands)
        bands = self._dataset.bands
        views = [finish(taken, self._config, pad_id=self._pad_id, bands=bands) for taken in cuts]
        images, ids = default_collate(views)  # in a loader process: straight into shared memory
        return Crops(images, ids, entries)

    def _cut(self, place: Place, skipped: list[str]) -> tuple[Cut, int | None]:
        """The window of an image of a step, and its entry in the bank, in which unlabelled images come last."""
        config, (position, labelled) = self._config, place
        index, (image, ids) = self._read(place, skipped)
        if config.views is None:
            rng = view_rng(position, seed=config.seed, labelled=labelled)
            return cut(image, ids, draw(ids.shape, config, rng)), None
        number = index if labelled else len(self._samples) + index
        view = bank_view(position, image=number, num_images=self._count(labelled), views=config.views, seed=config.seed)
        return cut(image, ids, draw(ids.shape, config, bank_rng(number, view))), number * config.views + view

    def _count(self, labelled: bool) -> int:
        return len(self._samples) if labelled else len(self._dataset.unlabelled)

    def _read(self, place: Place, skipped: list[str]) -> tuple[int, tuple[Tensor, Tensor]]:
        position, labelled = place
        order = images_from(position, num_images=self._count(labelled), seed=self._config.seed, labelled=labelled)
        for index in order:
            try:
                if labelled:
                    return index, self._dataset.read_stored(self._samples[index])
                return index, self._dataset.read_unlabelled(self._dataset.unlabelled[index])
            except DataError as error:
                if self._config.on_corrupt == "fail":
                    raise
                passed = faulty(self._samples[index], error) if labelled else str(self._dataset.unlabelled[index])
                skipped.append(passed)
        raise none_readable(self._dataset, "train" if labelled else "unlabelled")


def eval_batches(
    dataset: SegDataset, split: str, batch_size: int, *, on_corrupt: OnCorrupt = "fail", ranks: Ranks = ALONE
) -> Iterator[EvalBatch]:
    """Whole images of a split in order; neighbours of equal size share a batch of at most `batch_size`.

    Under skip, damaged samples are left out and `dataset.take_skipped()` names their files. Of several ranks each has
    its part of the images.

    Raises:
        DataError: while iterating: no such split, a file that cannot be read or, under skip, no sample that can be.
    """
    for _, images, labels in named_batches(dataset, split, batch_size, on_corrupt=on_corrupt, ranks=ranks):
        yield images, labels


def named_batches(
    dataset: SegDataset, split: str, batch_size: int, *, on_corrupt: OnCorrupt = "fail", ranks: Ranks = ALONE
) -> Iterator[
    tuple[tuple[Sample, ...], Real[Tensor, "batch channels height width"], Int64[Tensor, "batch height width"]]
]:
    """As `eval_batches`, each batch behind the samples that it holds."""
    own = dataset.samples(split)[ranks.number :: ranks.size]
    found = False
    for _, of_one_size in itertools.groupby(_readable(dataset, own, on_corrupt), key=lambda one: one[2].shape):
        while chunk := list(itertools.islice(of_one_size, batch_size)):
            found = True
            samples, images, labels = zip(*chunk, strict=True)
            yield samples, torch.stack(images), torch.stack(labels).long()
    if on_corrupt == "skip" and not found and ranks.size == 1:  # of several, another may have found some
        raise none_readable(dataset, split)


def _readable(
    dataset: SegDataset, samples: Sequence[Sample], on_corrupt: OnCorrupt
) -> Iterator[tuple[Sample, Tensor, Tensor]]:
    for sample in samples:
        try:
            pair = dataset.read(sample)
        except DataError as error:
            if on_corrupt == "fail":
                raise
            dataset.skip(faulty(sample, error))
            continue
        yield sample, *pair


def padding_id(dataset: SegDataset, config: TrialConfig) -> int:
    """What a crop's ids are padded with. Where pixels without a label are learnt from, padding is told from them.

    Raises:
        DataError: see `SegDataset.void_id`.
    """
    return dataset.void_id if config.sees_unlabelled else dataset.pad_id


def without_unlabelled(dataset: SegDataset, config: TrialConfig) -> DataError:
    return DataError(
        f"unlabelled_ratio is {config.unlabelled_ratio}, but {dataset.root} has no unlabelled images. Put some into "
        "images/unlabelled, or set it to 0."
    )


def none_readable(dataset: SegDataset, split: str) -> DataError:
    return DataError(f"{dataset.root} holds no sample of {split!r} that can be read. `heteroakd data check` says why.")
