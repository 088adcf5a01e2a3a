"""What the doctor found in one split of a data set."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64

from trainables.data.dataset import SegDataset


@dataclass
class SplitFacts:
    """What was found in one split.

    Attributes:
        name: of the split.
        num_samples: listed.
        num_masks, num_images: decoded.
        sizes: (height, width) of the images looked at.
        kinds: of the masks looked at, such as "8-bit palette".
        counts: pixels of each 8-bit id in the masks' files.
        turned: images that are turned as their EXIF says, of those looked at.
        alpha: images with an alpha channel, of those looked at.
        unmatched: pixels of no colour of dataset.yaml, which are ignored.
        bands: channels and types of the images looked at, such as "4 x uint16", where they are not RGB of 8 bits.
    """

    name: str
    num_samples: int
    num_masks: int = 0
    num_images: int = 0
    sizes: list[tuple[int, int]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    counts: Int64[np.ndarray, " ids"] = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    turned: int = 0
    alpha: int = 0
    unmatched: int = 0
    bands: Counter[str] = field(default_factory=Counter)

    def class_counts(self, dataset: SegDataset) -> Int64[np.ndarray, " classes"]:
        """Labelled pixels of each class; unknown ids and ignored ones are left out."""
        return np.array(
            [self.counts[_stored(dataset, number)].sum() for number in range(dataset.num_classes)], np.int64
        )

    def ignored(self, dataset: SegDataset) -> int:
        return int(self.counts[_stored(dataset, dataset.ignore_index)].sum())


def _stored(dataset: SegDataset, number: int) -> list[int]:
    """Ids in the files that mean a class, or ignored."""
    return [number] if dataset.ids is None else [stored for stored, to in dataset.ids.items() if to == number]
