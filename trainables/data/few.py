"""`DATA@30`: a labelled set of which only so many training images keep their label; the others are unlabelled ones."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from trainables.data.dataset import SegDataset
from trainables.errors import DataError


class Few(NamedTuple):
    """A name of a data set taken apart.

    Attributes:
        data: the whole set.
        labels: how many labels of train are used; None: all.
    """

    data: str
    labels: int | None

    @classmethod
    def parse(cls, text: str) -> Few:
        """A path that is there, and ends like this, is itself."""
        found = re.fullmatch(r"(.+)@(\d+)", text)
        is_path = Path(text.partition(":")[2] or text).expanduser().exists() or Path(text).expanduser().exists()
        return cls(found[1], int(found[2])) if found and not is_path else cls(text, None)

    def named(self, data: str) -> str:
        """As many labels of a set that is said otherwise."""
        return data if self.labels is None else f"{data}@{self.labels}"

    def of(self, dataset: SegDataset) -> SegDataset:
        """The set, opened, with the labels of training images that lie evenly apart in the order of their names.

        Raises:
            DataError: train does not have so many, or none is asked for.
        """
        if self.labels is None:
            return dataset
        images = dataset.samples("train")
        if not 1 <= self.labels <= len(images):
            raise DataError(
                f"{self.data}@{self.labels} asks for {self.labels} labels, but train has {len(images)}. Ask for 1 to "
                f"{len(images)}."
            )
        places = {place * len(images) // self.labels for place in range(self.labels)}
        labelled = tuple(image for place, image in enumerate(images) if place in places)
        rest = tuple(image.image for place, image in enumerate(images) if place not in places)
        return replace(
            dataset,
            name=f"{dataset.name}@{self.labels}",
            splits={**dataset.splits, "train": labelled},
            unlabelled=(*rest, *dataset.unlabelled),
        )
