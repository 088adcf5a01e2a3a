"""The splits of a set whose dataset.yaml says where its files lie: by folders, by lists or by shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

from trainables.data.dataset import Sample
from trainables.data.division import Split, check_filled, groups
from trainables.data.faults import Fault, first_three
from trainables.data.images import SUFFIXES
from trainables.data.layout import OPTIONAL, REQUIRED, UNLABELLED, Layout
from trainables.data.lists import Index, read_list
from trainables.data.matching import by_key, match
from trainables.data.names import folded, in_order
from trainables.data.passed import refuse_strays
from trainables.data.scan import Found, scan
from trainables.data.templates import SPLIT, Template

Splits = dict[str, tuple[Sample, ...]]


class Named(NamedTuple):
    """A sample, and what `images` reads in its image's name."""

    sample: Sample
    fields: Mapping[str, str]


class Listing(NamedTuple):
    """What a set holds; `groups`: of each image, where `split.by` says what belongs together."""

    splits: Splits
    unlabelled: tuple[Path, ...]
    groups: Mapping[Path, str] = MappingProxyType({})


def list_files(root: Path, layout: Layout, *, labels: frozenset[str], fault: Fault) -> Listing:
    """No file but lists is opened.

    Args:
        root: the folder of dataset.yaml.
        layout: what it says.
        labels: endings of masks, lower case.
        fault: told each broken rule.
    """
    tree = Tree.of(root, layout, labels=labels, fault=fault)
    if layout.split is not None:
        named = tree.undivided()
        of_images = groups(layout.split, [one.fields for one in named], fault)
        splits = divided(layout.split, named, of_images, fault)
        held = {} if layout.split.by is None else dict(zip((one.sample.image for one in named), of_images, strict=True))
        return Listing(splits, tree.unlabelled(), held)
    splits = tree.by_lists(layout.splits or {}) if layout.by_lists else tree.by_folders(layout.splits)
    return Listing(splits, tree.unlabelled())


def divided(split: Split, named: list[Named], of_images: Sequence[str], fault: Fault) -> Splits:
    """Every group in one split."""
    splits: dict[str, list[Sample]] = {name: [] for name in split.shares}
    for one, group in zip(named, of_images, strict=True):
        splits[split.of(group)].append(one.sample)
    if named:
        check_filled(split, splits, len(set(of_images)), fault)
    return {name: tuple(samples) for name, samples in splits.items()}


@dataclass(frozen=True)
class Tree:
    """Files under templates.

    Attributes:
        root: the folder of dataset.yaml.
        images, masks, without: which files are which; `without` a mask.
        leave: patterns of others that are left alone.
        fault: told each broken rule.
    """

    root: Path
    images: Template
    masks: Template
    without: Template | None
    leave: tuple[str, ...]
    fault: Fault

    @classmethod
    def of(cls, root: Path, layout: Layout, *, labels: frozenset[str], fault: Fault) -> Tree:
        """Arguments as of `list_files`."""
        images, masks = layout.templates(images=SUFFIXES, masks=labels)
        return cls(root, images, masks, layout.unlabelled_template(SUFFIXES), layout.leave, fault)

    def undivided(self) -> list[Named]:
        """All samples, in the order of their names."""
        for one in (self.images, self.masks):
            if not (self.root / one.base).is_dir():
                self.fault(f"{self.root / one.base} is missing: expected files as {one.text}.")
                return []
        images, masks = self._scan([self.images, self.masks])
        if not images:
            self.fault(f"{self.root} holds no image: no file is as {self.images.text}.")
        fields = {one.path: one.fields for one in images}
        samples = self._match(self._by_key(self._keys(images)), self._by_key(self._keys(masks)), None)
        return [Named(sample, fields[sample.image]) for sample in samples]

    def by_folders(self, given: Mapping[str, tuple[str, ...]] | None) -> Splits:
        """
        Args:
            given: folders of each split; None: its name, and a test split need not be there.
        """
        folders = given or {name: (name,) for name in (*REQUIRED, *OPTIONAL)}
        names = [name for several in folders.values() for name in several]
        self._refuse_misspelt(names)
        filled = {one.text: one for name in names for one in self._filled(name)}
        found = dict(zip(filled, self._scan(list(filled.values())), strict=True))
        if given is None:
            folders = {split: names for split, names in folders.items() if split in REQUIRED or self._has(split, found)}
        missing = [split for split, names in folders.items() if self._lacks(split, names)]
        pairs = {
            split: (self._side(self.images, names, found), self._side(self.masks, names, found))
            for split, names in folders.items()
            if split not in missing
        }
        for split, (images, _) in pairs.items():
            if not images:
                text = self.images.filled(folders[split][0]).text
                self.fault(f"split {split!r} is empty: no file of {self.root} is as {text}.")
        if not self.masks.has_split:
            pairs = self._own_masks(pairs)
        return {split: self._match(*pairs[split], split) if split in pairs else () for split in folders}

    def by_lists(self, given: Mapping[str, tuple[str, ...]]) -> Splits:
        """
        Args:
            given: files of each split that list images.
        """
        splits: Splits = {}
        for split, lists in given.items():
            pair = self._filled(split)
            images, masks = scan(self.root, pair, fault=None)
            index = Index(self.root, pair[0].base, self._keys(images), self._by_key(self._keys(masks)), pair[1].text)
            samples = {sample for name in lists for sample in read_list(self.root / name, index, self.fault)}
            splits[split] = tuple(sorted(samples, key=lambda sample: in_order(sample.image)))
        return splits

    def unlabelled(self) -> tuple[Path, ...]:
        """Images without a mask, in the order of their names."""
        if self.without is None:
            return ()
        (found,) = scan(self.root, [self.without], fault=None)
        return tuple(one.path for one in found)

    def _scan(self, templates: list[Template]) -> list[list[Found]]:
        """Images without a mask lie beside them, and no template takes another's files."""
        others = [] if self.without is None else [self.without]
        return scan(self.root, [*others, *templates], leave=self.leave, fault=self.fault)[len(others) :]

    def _filled(self, name: str) -> tuple[Template, Template]:
        return self.images.filled(name), self.masks.filled(name)

    def _has(self, split: str, found: Mapping[str, list[Found]]) -> bool:
        """Whether there is anything of a split that need not be there."""
        others = {one.base for one in self._filled(REQUIRED[0])}
        own = [one for one in self._filled(split) if one.base not in others]
        return any((self.root / one.base).is_dir() for one in own) or bool(found[self.images.filled(split).text])

    def _lacks(self, split: str, names: Iterable[str]) -> bool:
        """Whether a folder of a split is missing, after a fault."""
        needed = [one for name in names for one in self._filled(name)]
        absent = [one for one in needed if not (self.root / one.base).is_dir()]
        if absent:
            folder = self.root / absent[0].base
            self.fault(f"split {split!r} is missing: expected {folder}, with files as {absent[0].text}.")
        return bool(absent)

    def _side(self, kind: Template, names: tuple[str, ...], found: Mapping[str, list[Found]]) -> dict[str, Path]:
        """Files of a split under their keys; where it has several folders, these tell equal names apart."""
        keys: dict[Path, str] = {}
        for name in names:
            keys |= self._keys(
                found[kind.filled(name).text], f"{name}/" if len(names) > 1 and self.masks.has_split else ""
            )
        return self._by_key(keys)

    def _own_masks(
        self, pairs: Mapping[str, tuple[dict[str, Path], dict[str, Path]]]
    ) -> dict[str, tuple[dict[str, Path], dict[str, Path]]]:
        """Of masks that lie together whatever their split, each split's own; those of none are a fault."""
        first: dict[str, str] = {}
        twins = [
            f"{first[key]} and {split} ({key})"
            for split, (images, _) in pairs.items()
            for key in images
            if first.setdefault(key, split) != split
        ]
        if twins:
            self.fault(f"{self.root} has one mask for images of two splits: {first_three(twins)}. Rename them.", twins)
        alike = {folded(key): split for key, split in first.items()}
        masks = {key: path for _, several in pairs.values() for key, path in several.items()}
        self._match({}, {key: path for key, path in masks.items() if folded(key) not in alike}, None)
        return {
            split: (images, {key: path for key, path in masks.items() if alike.get(folded(key)) == split})
            for split, (images, _) in pairs.items()
        }

    def _match(self, images: Mapping[str, Path], masks: Mapping[str, Path], split: str | None) -> tuple[Sample, ...]:
        rule = f"{self.images.text} needs {self.masks.text}"
        return match(images, masks, split=split, root=self.root, rule=rule, fault=self.fault)

    def _keys(self, found: Iterable[Found], prefix: str = "") -> dict[Path, str]:
        """By which images and masks belong together: what both templates name, in the order of the image's path."""
        shared = [name for name in self.images.fields if name in self.masks.fields and name != SPLIT]
        return {
            one.path: prefix + "/".join(filter(None, (one.fields[name].rstrip("/") for name in shared)))
            for one in found
        }

    def _by_key(self, keys: Mapping[Path, str]) -> dict[str, Path]:
        return by_key(keys, keys.__getitem__, self.fault)

    def _refuse_misspelt(self, names: list[str]) -> None:
        """Where `{split}` is a folder: files beside the splits, and splits whose name is spelt otherwise."""
        for one, others in ((self.images, [UNLABELLED]), (self.masks, [])):
            above, found, _ = one.text.partition(f"{{{SPLIT}}}/")
            if found and (not above or above.endswith("/")) and "{" not in above and "*" not in above:
                suffixes = SUFFIXES if above else ()
                refuse_strays(self.root / PurePosixPath(above), [*names, *others], suffixes, self.fault)
