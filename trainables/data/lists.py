"""Files that list the images of a split: stems, paths, or an image and its mask on a line."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from trainables.data.dataset import Sample
from trainables.data.faults import Fault, first_three

_BETWEEN = re.compile(r"\s*[\t,;]\s*|\s+")


@dataclass(frozen=True)
class Index:
    """What lines may name.

    Attributes:
        root: the folder of dataset.yaml.
        base: the images' folder, from the root on.
        images: what is there, with the key of each.
        masks: by key.
        expected: the masks' template, for the sentence.
    """

    root: Path
    base: str
    images: Mapping[Path, str]
    masks: Mapping[str, Path]
    expected: str

    @cached_property
    def names(self) -> dict[str, list[Path]]:
        """Images under each name that a line may give: key, stem, and path from the root or the images' folder on, with
        or without ending.
        """
        found: dict[str, list[Path]] = defaultdict(list)
        for path, key in self.images.items():
            places = [PurePosixPath(path.relative_to(self.root).as_posix()), PurePosixPath(path.name)]
            if self.base:
                places.append(places[0].relative_to(self.base))
            for name in {key, *map(str, places), *(str(place.with_suffix("")) for place in places)}:
                found[name].append(path)
        return dict(found)

    def sample(self, line: str) -> Sample | str:
        """Of a line; a text says what is wrong with it."""
        name = line.removeprefix("./").lstrip("/")
        if (images := self.names.get(name)) is not None:
            if len(images) > 1:
                return "is the name of several images: write their paths"
            mask = self.masks.get(self.images[images[0]])
            return Sample(images[0], mask) if mask else f"has no mask as {self.expected}"
        pair = [self._place(part) for part in _BETWEEN.split(line)]
        if len(pair) == 2:
            absent = [str(part) for part in pair if not part.is_file()]
            return f"names {absent[0]}, which is missing" if absent else Sample(*pair)
        return "is no image that is there"

    def _place(self, text: str) -> Path:
        """A path from the root on, also with a slash before it, or an absolute one."""
        return Path(text) if Path(text).is_file() and Path(text).is_absolute() else self.root / text.lstrip("/")


def read_list(path: Path, index: Index, fault: Fault) -> list[Sample]:
    """The samples of a list, in its order. Empty lines and lines that begin with # are left out."""
    if not path.is_file():
        fault(f"{path} is missing. It lists the images of a split, a stem or a path a line.")
        return []
    lines = dict(_lines(path))
    if not lines:
        fault(f"{path} is empty. It must list the images of a split, a stem or a path a line.")
    found = {number: index.sample(text) for number, text in lines.items()}
    wrong = [f"line {number} ({lines[number]}) {said}" for number, said in found.items() if isinstance(said, str)]
    if wrong:
        fault(f"{path}: {first_three(wrong)}. Correct or remove such lines.", wrong)
    samples = {number: one for number, one in found.items() if isinstance(one, Sample)}
    first: dict[Path, int] = {}
    twins = [
        f"line {number} repeats line {first[one.image]} ({lines[number]})"
        for number, one in samples.items()
        if first.setdefault(one.image, number) != number
    ]
    if twins:
        fault(f"{path} names an image twice: {first_three(twins)}. Keep one.", twins)
    return list({one.image: one for one in samples.values()}.values())


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers and texts of the lines that say something."""
    for number, text in enumerate(os.fsdecode(path.read_bytes().removeprefix(b"\xef\xbb\xbf")).splitlines(), 1):
        if text.strip() and not text.lstrip().startswith("#"):
            yield number, text.strip()
