"""SegDataset: what a layout reader found on disk, and how one of its samples is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from trainables.config import digest
from trainables.data.cache import SampleCache
from trainables.data.images import image_size, read_image
from trainables.data.masks import check_ids, read_mask
from trainables.errors import DataError


class Sample(NamedTuple):
    """The two files of one labelled image."""

    image: Path
    label: Path


@dataclass(frozen=True, eq=False)
class SegDataset:
    """A labelled set on disk. Class ids are 0..num_classes-1 in the order of `classes`."""

    name: str
    root: Path
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]  # RGB of each class, 0..255
    ignore_index: int  # num_classes..255: masks are 8-bit
    splits: Mapping[str, tuple[Sample, ...]]  # "train" and "val" always, "test" where there is one
    _cache: SampleCache = field(default_factory=SampleCache, init=False, repr=False)

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
        """Content hash (16 hex digits of SHA-256) of what training reads: classes, ignore_index, and the name, split
        and bytes of every file. A set's own name, place and palette do not count. Computed once for this object.

        Raises:
            DataError: a file cannot be read.
        """
        return self._digest

    @cached_property
    def _digest(self) -> str:
        files = [
            (split, path.name, _file_hash(path))
            for split in sorted(self.splits)
            for sample in self.splits[split]
            for path in sample
        ]
        return digest({"classes": self.classes, "ignore_index": self.ignore_index, "files": files})

    def read(self, sample: Sample) -> tuple[UInt8[Tensor, "3 height width"], UInt8[Tensor, "height width"]]:
        """Decode a sample into RGB 0..255 and class ids. Cached and shared: do not write into the tensors.

        Raises:
            DataError: a file is damaged, or `check` would refuse the sample.
        """
        return self._cache.get(sample, self._decode)

    def check(self, sample: Sample) -> None:
        """Decode the mask and read the image's header only.

        Raises:
            DataError: the mask is no 8-bit PNG of known ids, or its size is not the image's.
        """
        self._label(sample, image_size(sample.image))

    def _decode(self, sample: Sample) -> tuple[Tensor, Tensor]:
        image = read_image(sample.image)
        height, width, _ = image.shape
        label = self._label(sample, (height, width))
        return torch.from_numpy(image).permute(2, 0, 1).contiguous(), torch.from_numpy(label)

    def _label(self, sample: Sample, size: tuple[int, int]) -> UInt8[np.ndarray, "height width"]:
        label = read_mask(sample.label)
        if label.shape != size:
            raise DataError(
                f"{sample.image} is {size[1]}x{size[0]} but {sample.label} is {label.shape[1]}x{label.shape[0]} "
                "(width x height). Both must have one size."
            )
        check_ids(label, sample.label, num_classes=self.num_classes, ignore_index=self.ignore_index)
        return label


class Source(NamedTuple):
    """Where a named set lives and what reads it; no root: the user gives it (`NAME:PATH`)."""

    read: Callable[[Path], SegDataset]
    root: Path | None


def _file_hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
