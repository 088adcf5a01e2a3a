"""Which split an image falls into: by the hash of its group, so that one that is added moves no other."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trainables.data.faults import Fault, counted, first_three
from trainables.data.names import text_of
from trainables.data.templates import FOLDERS, STEM, placeholders, regex

SEEDS = 100  # that `nearest_seed` tries

Share = Annotated[float, Field(ge=0, lt=1)]


class Split(BaseModel):
    """`split: {val: 0.2, test: 0.1, seed: 0, by: "{scene}_*"}` of dataset.yaml.

    Attributes:
        val, test: wanted shares of the groups; train has the rest.
        seed: another one, another assignment.
        by: a template of the stem (with `/`: of its folders and it) whose named parts are the group, or named parts of
            `images`; none: each image is a group.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    val: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test: Share = 0.0
    seed: int = 0
    by: str | None = None

    @field_validator("by")
    @classmethod
    def _names_a_part(cls, by: str | None) -> str | None:
        if by is not None and not placeholders(by):
            raise ValueError(f'split.by must name the part that is the group, such as "{{scene}}_*", got {by!r}.')
        return by

    @model_validator(mode="after")
    def _leaves_some(self) -> Split:
        if self.val + self.test >= 1:
            raise ValueError(f"split must leave images to train: val {self.val:g} and test {self.test:g} are all.")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """Wanted of train, val and, where there is one, test."""
        test = {"test": self.test} if self.test else {}
        return {"train": 1 - self.val - self.test, "val": self.val, **test}

    def of(self, group: str, *, seed: int | None = None) -> str:
        """The split of a group: a function of the seed and the group's name alone. `test` takes from train, not val."""
        key = f"{self.seed if seed is None else seed}\n{group}".encode("utf-8", "surrogateescape")
        place = int.from_bytes(hashlib.sha256(key).digest()[:8], "big") / 2**64
        if place < self.val:
            return "val"
        return "test" if place < self.val + self.test else "train"


def groups(split: Split, named: Sequence[Mapping[str, str]], fault: Fault) -> list[str]:
    """The group of each image.

    Args:
        named: what `images` of dataset.yaml reads in each image's name: stem, folders, further parts.
        fault: told of names that `by` does not fit; such an image is a group of its own.
    """
    whole = [text_of(fields.get(FOLDERS, "") + fields[STEM]) for fields in named]
    if split.by is None:
        return whole
    parts = placeholders(split.by)
    if named and split.by == "".join(f"{{{part}}}" for part in parts) and set(parts) <= named[0].keys():
        return [text_of("/".join(fields[part] for part in parts)) for fields in named]
    fits = re.compile(regex(split.by))
    texts = whole if "/" in split.by else [text_of(fields[STEM]) for fields in named]
    found = [fits.fullmatch(text) for text in texts]
    if strange := [text for text, one in zip(texts, found, strict=True) if one is None]:
        fault(
            f"split.by {split.by!r} does not fit {counted(len(strange), 'image')}: {first_three(strange)}. Every image "
            "needs a group: widen it, or rename these.",
            strange,
        )
    return ["/".join(one[part] for part in parts) if one else text for text, one in zip(texts, found, strict=True)]


def check_filled(split: Split, found: Mapping[str, Sequence[object]], num_groups: int, fault: Fault) -> None:
    """One fault where a split is without an image."""
    if empty := [name for name in split.shares if not found.get(name)]:
        number = sum(map(len, found.values()))
        fault(
            f"split leaves {' and '.join(empty)} empty: {counted(number, 'image')} in {counted(num_groups, 'group')}, "
            f"val {split.val:g}, test {split.test:g}, seed {split.seed}. Take another seed (`heteroakd data split` "
            "finds one where none is given), larger shares, or smaller groups."
        )


def nearest_seed(split: Split, of_images: Sequence[str]) -> int:
    """Of the seeds 0 to 99 the first whose splits have the wanted shares of the images most nearly.

    Args:
        of_images: the group of each image.
    """
    sizes = Counter(of_images)

    def missed(seed: int) -> float:
        held = Counter[str]()
        for group, size in sizes.items():
            held[split.of(group, seed=seed)] += size
        empty = sum(not held[name] for name in split.shares)
        return empty + sum(abs(held[name] / len(of_images) - share) for name, share in split.shares.items())

    return min(range(SEEDS), key=missed)
