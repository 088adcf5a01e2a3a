"""A data set split by shares: what was written, and what each split holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explorer.api.checks import DataCheck, check_data
from explorer.api.given import path

if TYPE_CHECKING:
    from trainables.data.resplit import Resplit


@dataclass(frozen=True)
class DataSplit:
    """How a data set is split now; shown as text.

    Attributes:
        done: the shares and the seed, images and groups of each split, and the files that were written.
        check: what the set holds and what is wrong with it, as of `check_data`.
    """

    done: Resplit
    check: DataCheck

    def __str__(self) -> str:
        return "\n".join(_lines(self.done, self.check))

    __repr__ = __str__


def split_data(
    data: str | os.PathLike[str],
    *,
    val: float | None = None,
    test: float | None = None,
    seed: int | None = None,
    by: str | None = None,
    lists: str | None = None,
) -> DataSplit:
    """Split a folder with dataset.yaml by shares, and write that into it; the same again changes nothing.

    An image's split follows from the seed and its group's name alone, so images that are added later move no other.

    Args:
        data: the folder.
        val: share of the groups, in (0, 1); none: as dataset.yaml has it, or 0.2.
        test: share of the groups, in [0, 1); none: as dataset.yaml has it, or 0.
        seed: none: as dataset.yaml has it, or of 0 to 99 that whose splits are nearest to the shares.
        by: which images stay together, such as "{scene}_*"; none: as dataset.yaml has it, or each by itself.
        lists: write files that list the images of each split into this folder, instead of the shares.

    Raises:
        DataError: no such folder, or one that cannot be split so.
    """
    from trainables.data.resplit import resplit

    given: dict[str, Any] = {"val": val, "test": test, "seed": seed, "by": by}
    done = resplit(path(data), lists=lists, **{name: value for name, value in given.items() if value is not None})
    return DataSplit(done, check_data(path(data)))


def _lines(done: Resplit, check: DataCheck) -> Iterator[str]:
    from explorer.api.diagnosis import classes
    from trainables.data.faults import counted

    split, number = done.split, sum(done.images.values())
    by = f"by {split.by}" if split.by else "image by image"
    yield f"{check.diagnosis.dataset.name}: {counted(number, 'image')} split {by}, seed {split.seed}"
    for name, share in split.shares.items():
        images, groups = done.images[name], done.groups[name]
        held = f"{100 * images / number:.1f} % (wanted {100 * share:.1f} %)"
        yield f"  {name}: {counted(images, 'image')}, {held}" + (f", in {counted(groups, 'group')}" if split.by else "")
    yield from classes(check.diagnosis)
    yield f"written: {', '.join(map(str, done.written))}" if done.written else "written already: nothing has changed"
    if not check.sound:
        yield f"{counted(len(check.faults), 'kind')} of fault: `heteroakd data check` lists them."
