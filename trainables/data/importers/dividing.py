"""The splits of a source: its own, or by shares, as dataset.yaml has them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from trainables.data.division import Split, check_filled, groups, nearest_seed
from trainables.data.faults import counted, refuse
from trainables.data.importers.source import Found
from trainables.data.templates import FOLDERS, STEM
from trainables.errors import ConfigError, from_validation

VAL, TEST = 0.2, 0.1


class Shares(NamedTuple):
    """What is wanted of each split, where the source has none.

    Attributes:
        val, test: shares of the images; None: 0.2 and 0.1.
        seed: None: of the seeds 0 to 99 that whose splits are nearest to the shares.
        by: which images stay together, as `split.by` of dataset.yaml.
    """

    val: float | None = None
    test: float | None = None
    seed: int | None = None
    by: str | None = None


class Divided(NamedTuple):
    """The split of each picture, the seed if there was one, and what to say of it."""

    splits: list[str]
    seed: int | None = None
    notes: tuple[str, ...] = ()


def divide(found: Found, src: Path, shares: Shares, *, seed: int | None) -> Divided:
    """Splits of the source stay; where it has no val, this comes out of what it has for training or for nothing.

    Args:
        seed: of the same import before, so that images which are added move no other.

    Raises:
        ConfigError: shares for a source that has its own splits, or out of range.
        DataError: nothing to train on, names that `by` does not fit, or too few images for the shares.
    """
    own = Counter(picture.split for picture in found.pictures)
    if own["val"] and (own["train"] or own[None]):
        if shares != Shares():
            raise ConfigError(f"{src} has splits of its own ({_told(own)}). Leave --val, --test, --seed and --by out.")
        notes = (f"{counted(own[None], 'image')} of no split: taken to train.",) if own[None] else ()
        return Divided([picture.split or "train" for picture in found.pictures], notes=notes)
    free = [place for place, picture in enumerate(found.pictures) if picture.split in (None, "train")]
    if not free:
        refuse(f"{src} has no images to train on, only {_told(own)}. Give the folder that holds all splits.")
    split = _split(shares, has_test=bool(own["test"]))
    named = [_named(found.pictures[place].name) for place in free]
    of_images = groups(split, named, refuse)
    chosen = next((one for one in (shares.seed, seed) if one is not None), None)
    split = split.model_copy(update={"seed": nearest_seed(split, of_images) if chosen is None else chosen})
    splits = [picture.split or "train" for picture in found.pictures]
    filled: dict[str, list[int]] = defaultdict(list)
    for place, group in zip(free, of_images, strict=True):
        splits[place] = split.of(group)
        filled[splits[place]].append(place)
    check_filled(split, filled, len(set(of_images)), refuse)
    wanted = "".join(f", {share:g} {name}" for name, share in split.shares.items() if name != "train")
    what = f"{counted(len(free), 'image')} divided by shares{wanted}; seed {split.seed}"
    return Divided(splits, split.seed, (f"{what}, together by {split.by}." if split.by else f"{what}.",))


def _split(shares: Shares, *, has_test: bool) -> Split:
    test = 0.0 if has_test else TEST if shares.test is None else shares.test
    try:
        return Split(val=VAL if shares.val is None else shares.val, test=test, by=shares.by)
    except ValidationError as error:
        raise ConfigError(str(from_validation(error, known=Split.model_fields))) from None


def _named(name: str) -> Mapping[str, str]:
    folders, slash, stem = name.rpartition("/")
    return {STEM: stem, FOLDERS: folders + slash}


def _told(own: Mapping[str | None, int]) -> str:
    return ", ".join(f"{split or 'no split'} {number}" for split, number in own.items() if number)
