"""SegDataset: what a layout reader found on disk, and how one of its samples is read."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int64, Integer, Real, UInt8
from torch import Tensor

from trainables.bands import RGB, Bands
from trainables.config import digest
from trainables.data import banded
from trainables.data.cache import SampleCache
from trainables.data.coding import Coding, Mask
from trainables.data.decoded import DecodedFiles
from trainables.data.faults import Fault, ranges, refuse
from trainables.data.hashes import file_hashes
from trainables.data.masks import check_ids, count_ids, read_mask
from trainables.data.names import text_of
from trainables.errors import DataError
from trainables.kept.cache import default_cache


class Sample(NamedTuple):
    """The two files of one labelled image."""

    image: Path
    label: Path


class Checked(NamedTuple):
    """What a look at a sample's mask and its image's header has shown.

    Attributes:
        counts: pixels of each id of the file.
        turned: whether the image is turned as its EXIF says.
        unmatched: pixels of no colour of dataset.yaml, which are ignored.
    """

    counts: Int64[np.ndarray, " ids"]
    turned: bool
    unmatched: int = 0


@dataclass(frozen=True, eq=False)
class SegDataset:
    """A labelled set on disk. Class ids are 0..num_classes-1 in the order of `classes`.

    A layout whose files hold other ids has `ids`: what `read` returns are class ids and ignore_index all the same.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]  # RGB of each class, 0..255
    ignore_index: int  # num_classes..255: masks are 8-bit
    splits: Mapping[str, tuple[Sample, ...]]  # "train" and "val" always, "test" where there is one
    ids: Mapping[int, int] | None = None  # id in the files -> class id or ignore_index; None: they are the same
    unlabelled: tuple[Path, ...] = ()  # further images, without a mask
    coding: Coding | None = None  # of files that hold no 8-bit ids; `ids` is None then
    bands: Bands = RGB  # what its images hold
    groups: Mapping[Path, str] = field(default_factory=dict)  # image -> what it belongs to, as far as the set says so
    _cache: SampleCache | DecodedFiles = field(default_factory=SampleCache, init=False, repr=False)
    _skipped: dict[str, None] = field(default_factory=dict, init=False, repr=False)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def samples(self, split: str) -> tuple[Sample, ...]:
        """The samples of a split, in the order of their names.

        Raises:
            DataError: the set has no such split.
        """
        if split not in self.splits:
            raise DataError(f"split {split!r} is missing from {self.root}, which has {', '.join(self.splits)}. Add it.")
        return self.splits[split]

    def digest(self) -> str:
        """Content hash (16 hex digits of SHA-256) of what training reads: classes, ignore_index, what ids or colours
        mean, bands, and the name, split and bytes of every file. Of unlabelled images, which may be ten times as many,
        the names and sizes. A set's own name, place, palette and the bands that are shown do not count. Computed once
        for this object.

        Raises:
            DataError: a file cannot be read.
        """
        return self._digest

    @cached_property
    def _digest(self) -> str:
        paths = [(split, path) for split in sorted(self.splits) for sample in self.splits[split] for path in sample]
        hashes = file_hashes([path for _, path in paths], root=self.root)
        files = [(split, text_of(path.name), found) for (split, path), found in zip(paths, hashes, strict=True)]
        described: dict[str, Any] = {"classes": self.classes, "ignore_index": self.ignore_index, "files": files}
        if self.ids is not None:
            described["ids"] = sorted(self.ids.items())
        if self.coding is not None:
            described["coding"] = self.coding.described()
        if self.unlabelled:
            described["unlabelled"] = [(text_of(path.name), _num_bytes(path)) for path in self.unlabelled]
        if self.bands.content != RGB.content:
            described["bands"] = self.bands.content
        return digest(described)

    def read(self, sample: Sample) -> tuple[Real[Tensor, "channels height width"], UInt8[Tensor, "height width"]]:
        """Decode a sample into its stored values (uint8, such as RGB 0..255; float32 where the bands' scale is not 255)
        and class ids. Cached and shared: do not write into the tensors.

        Raises:
            DataError: a file is damaged, or `check` would refuse the sample.
        """
        if self.ids is None:
            return self._cache.get(sample, self._decode)
        image, ids = self.read_stored(sample)
        return image, self.as_classes(ids).to(torch.uint8)

    def read_stored(
        self, sample: Sample
    ) -> tuple[Real[Tensor, "channels height width"], UInt8[Tensor, "height width"]]:
        """As `read`, but with the ids of the file, for `as_classes` after the crop."""
        if self.ids is None:
            return self.read(sample)
        return self._cache.get(sample, self._decode)

    def read_unlabelled(
        self, path: Path
    ) -> tuple[Real[Tensor, "channels height width"], UInt8[Tensor, "height width"]]:
        """Decode an image without a mask; its ids are `pad_id`, of which only one is in memory.

        Raises:
            DataError: the file is damaged.
        """
        return self._cache.get(path, self._decode_unlabelled)

    def _decode_unlabelled(self, path: Path) -> tuple[Tensor, Tensor]:
        image = torch.from_numpy(banded.read(path, self.bands)).permute(2, 0, 1).contiguous()
        return image, torch.tensor(self.pad_id, dtype=torch.uint8).expand(image.shape[1:])

    def keep_decoded(self, where: Literal["memory", "disk"]) -> None:
        """Where decoded samples are kept from now on. What is read stays the same, so that trials which share this
        object may each choose.
        """
        if where == "disk" and not isinstance(self._cache, DecodedFiles):
            object.__setattr__(self, "_cache", self._on_disk())
        if where == "memory" and not isinstance(self._cache, SampleCache):
            object.__setattr__(self, "_cache", SampleCache())

    def _on_disk(self) -> SampleCache | DecodedFiles:
        try:
            folder = default_cache() / "decoded" / self.digest()
        except DataError:  # a missing file is named, or skipped, when it is its turn
            return SampleCache()
        labelled = (sample for split in sorted(self.splits) for sample in self.splits[split])  # the digest's order
        keys = itertools.chain(labelled, self.unlabelled)
        names = {key: f"{number:06}.u8" for number, key in enumerate(keys)}
        return DecodedFiles(folder, names, channels=self.bands.channels, dtype=self.dtype)

    def as_classes(self, ids: Integer[Tensor, "*grid"]) -> Int64[Tensor, "*grid"]:
        """Ids of a file as class ids and ignore_index, on the ids' device."""
        if self.ids is None:
            return ids.long()
        return _table(tuple(self.ids.items()), self.ignore_index, ids.device)[ids.long()]

    @property
    def dtype(self) -> torch.dtype:
        """Of the images that are read."""
        return torch.float32 if self.bands.is_deep else torch.uint8

    @property
    def pad_id(self) -> int:
        """An id of the files, or one that no file holds, that means ignored: what a crop is padded with."""
        if self.ids is None:
            return self.ignore_index
        return next(number for number in range(256) if self.ids.get(number, self.ignore_index) == self.ignore_index)

    @property
    def void_id(self) -> int:
        """An id that no file may hold: what a crop is padded with where ignored pixels are not to be mistaken for it.

        Raises:
            DataError: the files may hold every 8-bit id.
        """
        free = np.flatnonzero(~self.known_ids)
        if not len(free):
            raise DataError(f"{self.name} uses all 256 ids, and padding needs one of its own. Take one out of `ids`.")
        return int(free[0])

    @cached_property
    def known_ids(self) -> Bool[np.ndarray, " ids"]:
        """Whether each 8-bit id may stand in a mask file."""
        known = np.zeros(256, dtype=bool)
        known[[*range(self.num_classes), self.ignore_index] if self.ids is None else list(self.ids)] = True
        return known

    def read_label(self, path: Path) -> Mask:
        """A mask file alone; ids that are not known are not refused.

        Raises:
            DataError: it holds no ids, or colours that are not named.
        """
        return Mask(read_mask(path, deep=self.ids is not None)) if self.coding is None else self.coding.read(path)

    def skip(self, name: str) -> None:
        """Note that a file was passed over."""
        self._skipped[name] = None

    def take_skipped(self) -> list[str]:
        """Paths of the damaged files passed over since the last call, each once (`on_corrupt: skip`); forgets them."""
        names = list(self._skipped)
        self._skipped.clear()
        return names

    def check(self, sample: Sample) -> Checked:
        """Decode the mask and read the image's header only.

        Raises:
            DataError: the mask holds no known ids or colours, or its size is not that of the upright image.
        """
        found, (label, unmatched) = banded.header(sample.image, self.bands), self.read_label(sample.label)
        if reason := misfit(sample, found.size, label.shape, self.bands):
            raise DataError(reason)
        counts = count_ids(label)
        held = np.flatnonzero(counts).astype(np.uint8)[None]
        check_ids(held, sample.label, known=self.known_ids, rule=self.id_rule)
        return Checked(counts, found.orientation != 1, unmatched)

    def _decode(self, sample: Sample) -> tuple[Tensor, Tensor]:
        image = banded.read(sample.image, self.bands)
        label = self.read_label(sample.label).ids
        if label.shape != image.shape[:2]:
            raise DataError(unequal(sample, image.shape[:2], label.shape, self.bands))
        check_ids(label, sample.label, known=self.known_ids, rule=self.id_rule)
        return torch.from_numpy(image).permute(2, 0, 1).contiguous(), torch.from_numpy(label)

    @property
    def id_rule(self) -> str:
        """Which ids may stand in a mask file, as the end of a sentence."""
        if self.ids is not None:
            return f"{self.name} has ids {ranges(sorted(self.ids))}"
        last = self.num_classes - 1
        return f"dataset.yaml names {self.num_classes} classes (0-{last}) and ignore_index {self.ignore_index}"


def _num_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None


@runtime_checkable
class Reader(Protocol):
    """Lists a tree of one layout; opens no image."""

    def __call__(self, root: Path, *, fault: Fault = refuse) -> SegDataset: ...


class Source(NamedTuple):
    """Where a named set lives and what reads it; no root: the user gives it (`NAME:PATH`)."""

    read: Reader
    root: Path | None


@lru_cache(maxsize=8)
def _table(ids: tuple[tuple[int, int], ...], ignore_index: int, device: torch.device) -> Int64[Tensor, " ids"]:
    """The class of each 8-bit id. Kept, since the copy to a device makes the host wait for it."""
    table = torch.full((256,), ignore_index)
    for stored, number in ids:
        table[stored] = number
    return table.to(device)


def misfit(sample: Sample, image: tuple[int, ...], mask: tuple[int, ...], bands: Bands) -> str | None:
    """Of an image's header and its mask's (height, width): the sentence if they differ.

    A PNG may be turned by what stands behind its pixels, so one that does not fit is decoded.
    """
    if image == mask:
        return None
    with suppress(DataError):
        if banded.read(sample.image, bands).shape[:2] == mask:
            return None
    return unequal(sample, image, mask, bands)


def unequal(sample: Sample, image: tuple[int, ...], mask: tuple[int, ...], bands: Bands) -> str:
    """The sentence for two files of different (height, width); `image`: of the upright one."""
    stored = banded.header(sample.image, bands).stored
    if mask == stored != image:
        shown = f"{sample.image} is shown upright, {image[1]}x{image[0]} (width x height), as its EXIF says"
        fits = f"{sample.label} is {mask[1]}x{mask[0]} and fits the image only as it is stored"
        return f"{shown}, but {fits}. Turn the mask, or store the image without that orientation."
    sizes = f"{image[1]}x{image[0]} but {sample.label} is {mask[1]}x{mask[0]}"
    return f"{sample.image} is {sizes} (width x height). Both must have one size."


def faulty(sample: Sample, error: DataError) -> str:
    """Which of a sample's files an error is about: its sentence begins with it."""
    return next((str(path) for path in sample if str(error).startswith(f"{path} ")), str(sample.image))
