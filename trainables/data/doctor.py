"""The doctor: everything that is wrong with a data set, and what it holds, in seconds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Int64

from trainables.bands import Bands
from trainables.data import banded
from trainables.data.advice import advice
from trainables.data.catalogue import open_dataset
from trainables.data.check import THREADS, scored_too, unmeasured
from trainables.data.dataset import Sample, SegDataset, misfit
from trainables.data.facts import SplitFacts
from trainables.data.images import Header
from trainables.data.masks import check_ids, count_ids, mask_kind
from trainables.data.scorable import unscorable
from trainables.data.twins import twins
from trainables.errors import DataError

MASKS, IMAGES = 400, 40  # decoded of each split, evenly spaced, unless all are asked for
PIXELS = 10**8  # small images are decoded beyond IMAGES until these are read, but no more than MASKS
IMAGE = "Images that cannot be read"
MASK = "Masks that cannot be read as class ids"
IDS = "Masks that hold unknown ids"
SIZE = "Images and masks of different size"
TWINS = "Images that stand in two splits"
SCORED = "Unlabelled images that are scored too"
_ENDS = {".png": b"IEND\xaeB`\x82", ".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9"}


Item = TypeVar("Item")


@dataclass(frozen=True)
class Diagnosis:
    """A data set's facts; `faults`: a kind (or what the layout refuses) and the files; `advice` that is no fault."""

    dataset: SegDataset
    splits: list[SplitFacts]
    faults: dict[str, list[str]]
    advice: list[str]


def diagnose(name_or_path: str, *, split: str | None = None, full: bool = False) -> Diagnosis:
    """Open a data set, also one that its layout refuses, and look at what it holds.

    Every file is looked at from outside (is it there, empty, cut off?), every listed pair is counted. Up to 400 masks
    of each split, evenly spaced, and as many of their images as are read in seconds (40 at least) are decoded.

    Args:
        name_or_path: as for `open_dataset`.
        split: look at this one alone.
        full: decode all masks and images.

    Raises:
        DataError: no such data set or split.
    """
    faults: dict[str, list[str]] = defaultdict(list)

    def note(sentence: str, files: Sequence[str] = ()) -> None:
        faults[sentence] += files

    dataset = open_dataset(name_or_path, fault=note)
    names = list(dataset.splits) if split is None else [split]
    facts = [_examine(dataset, name, full, faults) for name in names]
    if reason := unmeasured(dataset):
        note(reason)
    for reason in filter(None, (_unscorable(dataset, one) for one in facts)):
        note(reason)
    if alike := _twins(dataset, names):
        faults[TWINS] = alike
    for kind, sentence in _unlabelled(dataset, full) if split is None else ():
        faults[kind].append(sentence)
    return Diagnosis(dataset, facts, dict(faults), advice(dataset, facts))


def evenly(samples: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of them, evenly spaced."""
    step = max(1.0, len(samples) / most)
    return [samples[int(place * step)] for place in range(min(most, len(samples)))]


@dataclass(frozen=True)
class _Look:
    """What one sample is."""

    header: Header | None = None
    kind: str | None = None
    counts: Int64[np.ndarray, " ids"] | None = None
    unmatched: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)


def _examine(dataset: SegDataset, split: str, full: bool, faults: dict[str, list[str]]) -> SplitFacts:
    samples = dataset.samples(split)
    masks = samples if full else evenly(samples, MASKS)
    images = set(samples if full else evenly(masks, max(IMAGES, PIXELS // _pixels(masks, dataset.bands))))
    rest = sorted(set(samples) - set(masks))
    facts = SplitFacts(split, len(samples), len(masks), len(images))
    with ThreadPoolExecutor(THREADS) as pool:
        looks = [*pool.map(partial(_look, dataset, images), masks), *pool.map(partial(_look_outside, dataset), rest)]
    for look in looks:
        if look.header:
            facts.sizes.append(look.header.size)
            facts.turned += look.header.orientation != 1
            facts.alpha += look.header.alpha
            facts.bands.update([look.header.kind] if look.header.kind else [])
        facts.kinds.update([look.kind] if look.kind else [])
        facts.counts += 0 if look.counts is None else look.counts
        facts.unmatched += look.unmatched
        for kind, sentence in look.faults:
            faults[kind].append(sentence)
    return facts


def _unscorable(dataset: SegDataset, facts: SplitFacts) -> str | None:
    """Where the chosen masks cannot be scored, the others are read until they can: a rare class is no fault."""
    if not dataset.classes or not facts.counts.any():
        return None  # which is a fault already
    seen, left = facts, iter(dataset.samples(facts.name) if facts.num_masks < facts.num_samples else ())
    while (reason := unscorable(dataset, seen)) and (sample := next(left, None)):
        with suppress(DataError):
            seen = replace(seen, counts=seen.counts + count_ids(dataset.read_label(sample.label).ids))
    return reason


def _pixels(samples: Sequence[Sample], bands: Bands) -> int:
    """Of an image: that of the first sample that can be read."""
    for sample in samples:
        with suppress(DataError):
            return math.prod(banded.header(sample.image, bands).size)
    return 1


def _look(dataset: SegDataset, decoded: set[Sample], sample: Sample) -> _Look:
    faults: list[tuple[str, str]] = []
    found = size = kind = counts = None
    unmatched = 0
    try:
        found = banded.header(sample.image, dataset.bands)
        size = found.size
        if sample in decoded or not _ends_well(sample.image):
            height, width, _ = banded.read(sample.image, dataset.bands).shape
            size = (height, width)
            found = found._replace(size=size)
    except DataError as error:
        faults.append((IMAGE, str(error)))
    try:
        mask, unmatched = dataset.read_label(sample.label)
        kind, counts = mask_kind(sample.label), count_ids(mask)
        if size is not None and (reason := misfit(sample, size, mask.shape, dataset.bands)):
            faults.append((SIZE, reason))
        check_ids(
            np.flatnonzero(counts).astype(np.uint8)[None], sample.label, known=_known(dataset), rule=dataset.id_rule
        )
    except DataError as error:
        faults.append((MASK if counts is None else IDS, str(error)))
    return _Look(found, kind, counts, unmatched, faults)


def _look_outside(dataset: SegDataset, sample: Sample) -> _Look:
    """A file that does not end as its format does is decoded, and refused if it is no whole image."""
    faults: list[tuple[str, str]] = []
    read_image = partial(banded.read, bands=dataset.bands)
    for kind, path, read in ((IMAGE, sample.image, read_image), (MASK, sample.label, dataset.read_label)):
        try:
            if not _ends_well(path):
                read(path)
        except DataError as error:
            faults.append((kind, str(error)))
    return _Look(faults=faults)


def _ends_well(path: Path) -> bool:
    end = _ENDS.get(path.suffix.lower())
    if end is None or not path.is_file() or path.stat().st_size < len(end):
        return False
    with path.open("rb") as file:
        file.seek(-len(end), 2)
        return file.read() == end


def _known(dataset: SegDataset) -> Bool[np.ndarray, " ids"]:
    """A set whose classes could not be read knows every id."""
    return dataset.known_ids if dataset.classes else np.ones(256, dtype=bool)


def _twins(dataset: SegDataset, splits: Iterable[str]) -> list[str]:
    named = ((split, image) for split in splits for image, _ in dataset.samples(split))
    return [f"{path} is the same image as {first}. Keep it in one split." for path, first in twins(named)]


def _unlabelled(dataset: SegDataset, full: bool) -> Iterator[tuple[str, str]]:
    """Kind and sentence of what is wrong with images that have no mask."""
    paths = dataset.unlabelled
    chosen = set(paths if full else evenly(paths, IMAGES))
    with ThreadPoolExecutor(THREADS) as pool:
        reasons = pool.map(lambda path: _unreadable(path, dataset.bands, whole=path in chosen), paths)
        yield from ((IMAGE, reason) for reason in reasons if reason is not None)
    yield from ((SCORED, reason) for reason in scored_too(dataset))


def _unreadable(path: Path, bands: Bands, *, whole: bool) -> str | None:
    """Those that are not read whole are, if they do not end as their format does."""
    try:
        if whole or (path.suffix.lower() in _ENDS and not _ends_well(path)):
            banded.read(path, bands)
        elif path.suffix.lower() not in _ENDS:
            banded.header(path, bands)
    except DataError as error:
        return str(error)
    return None
