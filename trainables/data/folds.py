"""Folds: train and val pooled and cut into parts, each of which is the validation split of one fold.

Which fold an image is in depends on its name (or its group's) and on the others of the set, on no seed: two trials of a
set are always cut alike.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

from trainables.config import TrialConfig
from trainables.data.dataset import Sample, SegDataset
from trainables.data.names import in_order, text_of
from trainables.data.templates import placeholders, regex
from trainables.errors import DataError


def group_of(stem: str, by: str) -> str | None:
    """What an image's name says that it belongs to; None: the name does not fit.

    Args:
        stem: the name without its ending.
        by: a template, as `split.by` of dataset.yaml: `*` is any text, and `{scene}` the shortest text that fits, which
            names the group. Of several in braces, all must agree.
    """
    found = re.fullmatch(regex(by), stem)
    return None if found is None else "/".join(found[name] for name in placeholders(by))


def group_numbers(dataset: SegDataset, samples: Sequence[Sample], *, by: str | None) -> list[int] | None:
    """Of each sample, the number of its group, from 0 in the order in which they come; None: each is for itself.

    Args:
        by: as for `group_of`; none: what the data set says itself, if it does. What does not fit is alone.
    """
    if by is None and not dataset.groups:
        return None
    numbers: dict[Hashable, int] = {}
    keys = (_group(dataset, one, by) or one.image for one in samples)
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _group(dataset: SegDataset, sample: Sample, by: str | None) -> str | None:
    return dataset.groups.get(sample.image) if by is None else group_of(sample.image.stem, by)


def check_fits(samples: Iterable[Sample], by: str) -> None:
    """Raises:
    DataError: a sample that the pattern does not fit.
    """
    if (stray := next((one for one in samples if group_of(one.image.stem, by) is None), None)) is not None:
        raise DataError(
            f"fold_by {by!r} does not fit {stray.image}. Each image must fit: `*` is any text, and what is in braces "
            "names the group."
        )


def cut(groups: Sequence[str], folds: int) -> list[int]:
    """The fold of each image, 0 to `folds` - 1: a group is in one, and folds are as equal as groups allow.

    Largest groups first, of equal ones in the order of their hashes, each goes where the fewest images are.

    Args:
        groups: of each image, the name of its group; at least `folds` different ones.
    """
    sizes, held, place = Counter(groups), [0] * folds, dict[str, int]()
    for name in sorted(sizes, key=lambda name: (-sizes[name], _hash(name))):
        place[name] = min(range(folds), key=held.__getitem__)
        held[place[name]] += sizes[name]
    return [place[name] for name in groups]


def folded(dataset: SegDataset, *, folds: int, by: str | None) -> list[SegDataset]:
    """A data set for each fold, with splits train and val; they share what is kept of decoded images.

    Args:
        by: see `group_of`; None: the groups that the set declares, else each image for itself.

    Raises:
        DataError: an image does not fit `by`, or there are fewer groups than folds.
    """
    pool = sorted((*dataset.samples("train"), *dataset.samples("val")), key=lambda one: in_order(one.image))
    places = cut(_names(dataset, pool, folds, by), folds)
    found = []
    for number in range(folds):
        splits: dict[str, tuple[Sample, ...]] = {
            "train": tuple(one for one, place in zip(pool, places, strict=True) if place != number),
            "val": tuple(one for one, place in zip(pool, places, strict=True) if place == number),
        }
        part = replace(dataset, splits=splits)
        object.__setattr__(part, "_cache", dataset._cache)
        found.append(part)
    return found


def parts_of(dataset: SegDataset, config: TrialConfig) -> list[SegDataset]:
    """`folded`, as a trial has it: the data set of each fold, or the data set itself.

    Raises:
        DataError: see `folded`.
    """
    dataset.keep_decoded(config.image_cache)  # what the folds share
    return [dataset] if config.folds is None else folded(dataset, folds=config.folds, by=config.fold_by)


def _names(dataset: SegDataset, pool: Sequence[Sample], folds: int, by: str | None) -> list[str]:
    """Of each image, its group's name."""
    if by is not None:
        check_fits(pool, by)
    grouped = by is not None or bool(dataset.groups)
    names = [text_of(_group(dataset, one, by) or _path(dataset, one)) for one in pool]
    if (num := len(set(names))) < folds:
        what = "groups" if grouped else "images"
        raise DataError(f"folds is {folds}, but train and val of {dataset.root} hold {num} {what}. Set at most {num}.")
    return names


def _path(dataset: SegDataset, sample: Sample) -> str:
    """Within the set, so that a set that was moved is cut alike."""
    within = sample.image.is_relative_to(dataset.root)
    return (sample.image.relative_to(dataset.root) if within else sample.image).as_posix()


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
