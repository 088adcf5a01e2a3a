"""The check a sweep runs before it starts any worker."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from trainables.config import TrialConfig
from trainables.data import banded
from trainables.data.advice import few, notes
from trainables.data.dataset import Sample, SegDataset
from trainables.data.facts import SplitFacts
from trainables.data.folds import check_fits, parts_of
from trainables.data.loader import without_unlabelled
from trainables.data.scorable import unscorable
from trainables.data.twins import twins
from trainables.errors import DataError

THREADS = 8  # Pillow decodes outside Python's lock
HEADERS = 200  # of unlabelled images


def verify(dataset: SegDataset, splits: Iterable[str] = ("train", "val")) -> list[str]:
    """Decode every mask of the splits and read every image's header. About 0.2 ms a 128x128 sample and core.

    Pixels of images are not decoded: a torn image is reported when a trial first reads it.

    Returns:
        What a user should know before the first trial, such as classes without a pixel.

    Raises:
        DataError: bands without mean and std; an empty split, or an image in two; else the first fault, in the order
            of splits and names; else a split that cannot be scored.
    """
    if reason := unmeasured(dataset):
        raise DataError(reason)
    listed: dict[str, tuple[Sample, ...]] = {}
    seen: dict[Path, str] = {}
    for split in splits:
        found = dataset.samples(split)
        if not found:
            raise DataError(f"split {split!r} of {dataset.root} is empty. It must hold images with labels.")
        if twice := next((sample.image for sample in found if sample.image in seen), None):
            raise DataError(f"{twice} is in {seen[twice]!r} and in {split!r}: a score on it would say nothing.")
        seen |= {sample.image: split for sample in found}
        listed[split] = found
    facts = [_facts(dataset, split, samples) for split, samples in listed.items()]
    if reason := next(filter(None, (unscorable(dataset, one) for one in facts)), None):
        raise DataError(reason)
    return notes(dataset, facts)


def unmeasured(dataset: SegDataset) -> str | None:
    """The sentence for a set whose bands have no mean and std."""
    if dataset.bands.is_measured:
        return None
    return (
        f"{dataset.root} has {dataset.bands.words}, and dataset.yaml says no mean and std of them. `heteroakd data "
        f"check {shlex.quote(str(dataset.root))} --measure` prints the lines to add."
    )


def verify_unlabelled(dataset: SegDataset, config: TrialConfig) -> None:
    """Read the headers of at most HEADERS unlabelled images, evenly spaced.

    Raises:
        DataError: there is none; one that cannot be read; one that is an image of a split that is scored.
    """
    if not dataset.unlabelled:
        raise without_unlabelled(dataset, config)
    splits = ("val", "test") if config.folds is None else ("train", "val", "test")
    if twice := next(scored_too(dataset, splits), None):
        raise DataError(twice)
    every = -(-len(dataset.unlabelled) // HEADERS)
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(partial(banded.header, bands=dataset.bands), dataset.unlabelled[::every]):
            pass


def verify_folds(dataset: SegDataset, config: TrialConfig) -> list[str]:
    """Cut the folds that a trial asks for, and read the masks of each one's validation split.

    Returns:
        What a user should know: that the set is small, where nothing is folded.

    Raises:
        DataError: an image of any split that does not fit `fold_by`; see `folds.folded`; a fold that cannot be scored.
    """
    if config.fold_by is not None:
        check_fits((sample for samples in dataset.splits.values() for sample in samples), config.fold_by)
    if config.folds is None:
        return few([(split, len(dataset.samples(split))) for split in ("train", "val")])
    for number, part in enumerate(parts_of(dataset, config), start=1):
        counts = _facts(part, "val", part.samples("val")).class_counts(part)
        if (counts > 0).sum() < 2:
            raise DataError(
                f"folds is {config.folds}, but the images of fold {number} hold fewer than two labelled classes, so "
                "nothing can be scored on them. Set fewer folds, or label more images."
            )
    return []


def scored_too(dataset: SegDataset, splits: Iterable[str] = ("val", "test")) -> Iterator[str]:
    """A sentence for each unlabelled image that is in a split that is scored too, by its path or its bytes."""
    scored = {sample.image: split for split in splits for sample in dataset.splits.get(split, ())}
    remedy = "a score on it would say less. Remove it from one of them."
    for path in (path for path in dataset.unlabelled if path in scored):
        yield f"{path} is unlabelled and in {scored[path]!r}: {remedy}"
    named = [*(("scored", path) for path in scored), *(("", path) for path in dataset.unlabelled if path not in scored)]
    for path, first in twins(named):
        yield f"{path} is unlabelled, and the same image as {first}, which is in {scored[first]!r}: {remedy}"


def _facts(dataset: SegDataset, split: str, samples: Sequence[Sample]) -> SplitFacts:
    found = SplitFacts(split, len(samples), num_masks=len(samples))
    with ThreadPoolExecutor(THREADS) as pool:
        for checked in pool.map(dataset.check, samples):
            found.counts += checked.counts
            found.turned += checked.turned
            found.unmatched += checked.unmatched
    return found
