"""What every data set promises the loader."""

from __future__ import annotations

import pickle
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from trainables.config import TrialConfig
from trainables.contracts.claim import Claim, ensure
from trainables.data.dataset import Sample, SegDataset
from trainables.data.feed import feed

MOST = 8  # samples of a split that are opened
_CONFIG = TrialConfig(method="task", steps=2, batch_size=2, crop_height=64, crop_width=64)
_BYTE = 255


@dataclass(frozen=True)
class Data:
    """A data set under test: `open` opens it anew."""

    open: Callable[[], SegDataset]


def splits_are_not_empty(data: Data) -> None:
    dataset = data.open()
    for split in ("train", "val"):
        ensure(split in dataset.splits, f"split {split!r} is missing, there are {', '.join(dataset.splits)}.")
    for split, samples in dataset.splits.items():
        ensure(len(samples) > 0, f"split {split!r} is empty.")


def no_sample_is_in_two_splits(data: Data) -> None:
    seen: dict[Path, str] = {}
    for split, samples in data.open().splits.items():
        for sample in samples:
            path = sample.image.resolve()
            ensure(path not in seen, f"{path} is in split {split!r} and in split {seen.get(path)!r}.")
            seen[path] = split


def classes_have_names_and_colours(data: Data) -> None:
    dataset = data.open()
    names, palette = dataset.classes, dataset.palette
    ensure(len({*names}) == len(names) > 0 and all(names), f"classes must have different names, got {names}.")
    ensure(len(names) > 1, f"mIoU needs two classes, got {', '.join(names)}.")
    ensure(len(palette) == len(names), f"palette has {len(palette)} colours for {len(names)} classes.")
    for colour in palette:
        fits = len(colour) == 3 and all(isinstance(part, int) and 0 <= part <= _BYTE for part in colour)
        ensure(fits, f"A colour is three integers of 0-{_BYTE}, got {colour}.")


def ignore_index_is_no_class(data: Data) -> None:
    dataset = data.open()
    ensure(
        dataset.num_classes <= dataset.ignore_index <= _BYTE,
        f"ignore_index must be {dataset.num_classes}-{_BYTE}, got {dataset.ignore_index}.",
    )


def samples_are_sound(data: Data) -> None:
    dataset = data.open()
    for sample in _some(dataset):
        dataset.check(sample)


def images_and_masks_fit(data: Data) -> None:
    dataset = data.open()
    for sample in _some(dataset):
        image, label = dataset.read(sample)
        kinds, channels = (image.dtype, label.dtype), dataset.bands.channels
        ensure(
            kinds == (dataset.dtype, torch.uint8), f"{sample.image}: {kinds[0]} and {kinds[1]}, not {dataset.dtype}."
        )
        shape = tuple(image.shape)
        ensure(len(shape) == 3 and shape[0] == channels, f"{sample.image} must be {channels} x H x W, got {shape}.")
        ensure(
            image.shape[1:] == label.shape, f"{sample.image} is {tuple(image.shape)}, its mask {tuple(label.shape)}."
        )


def ids_are_classes(data: Data) -> None:
    dataset = data.open()
    for sample in _some(dataset):
        _are_ids(dataset.read(sample)[1], dataset, str(sample.label))


def some_class_is_labelled(data: Data) -> None:
    dataset = data.open()
    for split in dataset.splits:
        labelled = any(bool((dataset.read(one)[1] != dataset.ignore_index).any()) for one in _some(dataset, split))
        ensure(labelled, f"Of split {split!r} no pixel is labelled with a class.")


def opening_is_repeatable(data: Data) -> None:
    first, second = data.open(), data.open()
    ensure(first.splits == second.splits, "Two openings list other samples, or in another order.")
    ensure(first.classes == second.classes, "Two openings have other classes.")
    ensure(first.digest() == second.digest(), "Two openings have other digests.")


def the_digest_is_of_the_content(data: Data) -> None:
    """One mask is replaced by a changed copy of the same name: the digest must be another."""
    dataset = data.open()
    sample, *rest = dataset.samples("train")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / sample.label.name
        shutil.copyfile(sample.label, copy)
        copy.write_bytes(copy.read_bytes() + b"\0")
        changed = replace(dataset, splits={**dataset.splits, "train": (Sample(sample.image, copy), *rest)})
        ensure(changed.digest() != dataset.digest(), "The digest is the same although a mask's file has changed.")


def it_travels_to_other_processes(data: Data) -> None:
    dataset = data.open()
    there = pickle.loads(pickle.dumps(dataset))
    ensure(there.digest() == dataset.digest(), "What arrives in another process has another digest.")


def training_batches_come(data: Data) -> None:
    dataset = data.open()
    for pixels, labels, *_ in feed(dataset, _CONFIG, device=torch.device("cpu")):
        ensure(
            pixels.shape == (2, dataset.bands.channels, 64, 64),
            f"A batch of 2 crops of 64 pixels has shape {tuple(pixels.shape)}.",
        )
        _are_ids(labels, dataset, "a training batch")


CLAIMS = (
    Claim("its splits are not empty, train and val among them", splits_are_not_empty),
    Claim("no image is in two splits", no_sample_is_in_two_splits),
    Claim("each class has a name and a colour", classes_have_names_and_colours),
    Claim("ignore_index is no class", ignore_index_is_no_class),
    Claim("its samples are sound", samples_are_sound),
    Claim("images have the channels that it says, masks are 8-bit, and both are of one size", images_and_masks_fit),
    Claim("masks hold class ids and ignore_index alone", ids_are_classes),
    Claim("every split has labelled pixels", some_class_is_labelled),
    Claim("opening it again gives the same", opening_is_repeatable),
    Claim("its digest is of its content", the_digest_is_of_the_content),
    Claim("it travels to other processes", it_travels_to_other_processes),
    Claim("training batches come of it", training_batches_come),
)


def _some(dataset: SegDataset, *splits: str) -> list[Sample]:
    """At most MOST samples of each split, evenly spaced."""
    found: list[Sample] = []
    for split in splits or tuple(dataset.splits):
        samples = dataset.samples(split)
        found += samples[:: max(1, -(-len(samples) // MOST))]
    return found


def _are_ids(label: torch.Tensor, dataset: SegDataset, where: str) -> None:
    strange = [number for number in label.unique().tolist() if number not in _ids(dataset)]
    ensure(not strange, f"{where} holds ids {strange[:5]}, which are neither classes nor ignore_index.")


def _ids(dataset: SegDataset) -> set[int]:
    return {*range(dataset.num_classes), dataset.ignore_index}
