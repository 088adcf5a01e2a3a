"""Files that templates take, and a fault for those that none does."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from trainables.data.faults import Fault
from trainables.data.names import in_order
from trainables.data.passed import entries, refuse_look_alikes, report
from trainables.data.templates import Template

_REMEDY = "Convert, rename, move or remove the rest, or name it under `leave` in dataset.yaml."


class Found(NamedTuple):
    """A file, and what a template reads in its name."""

    path: Path
    fields: Mapping[str, str]


def scan(
    root: Path, templates: Sequence[Template], *, leave: Collection[str] = (), fault: Fault | None
) -> list[list[Found]]:
    """The files of each template, in the order of their names. No file is of two: the closer template has it.

    What else lies in the folders that are looked into is one fault a folder; but for the set's own folder, where other
    folders are the user's own.

    Args:
        leave: patterns of names, or of paths from the set's folder on, that are left alone.
        fault: None: other files are left alone.
    """
    walk = _Walk(root, templates, leave)
    for base in dict.fromkeys(one.base for one in templates):
        depths = [one.depth for one in templates if one.base == base]
        walk.into(root / base, base, None if None in depths else max(filter(None, depths), default=0), frozenset())
    if fault is not None:
        walk.tell(fault)
    return [sorted(walk.found[place], key=lambda one: in_order(one.path)) for place in range(len(templates))]


class _Walk:
    """Through the folders of the templates; each file and folder is judged once."""

    def __init__(self, root: Path, templates: Sequence[Template], leave: Collection[str]) -> None:
        self._root, self._templates, self._leave = root, templates, leave
        self._bases = {one.base for one in templates}
        self._seen: set[Path] = set()
        self._strays: dict[Path, dict[str, os.DirEntry[str]]] = defaultdict(dict)
        self.found: dict[int, list[Found]] = defaultdict(list)

    def into(self, folder: Path, name: str, depth: int | None, above: frozenset[str]) -> None:
        """
        Args:
            folder: looked into.
            name: of the folder from the root on; empty: the root.
            depth: of further folders that files may lie in; None: any.
            above: real paths of the folders that led here: a link to one of them would lead round.
        """
        if not folder.is_dir() or (real := os.path.realpath(folder)) in above:
            return
        for one in entries(folder):
            path = f"{name}/{one.name}" if name else one.name
            if any(fnmatchcase(path if "/" in pattern else one.name, pattern) for pattern in self._leave):
                continue
            if not one.is_dir():
                self._file(folder, one, path)
            elif depth is None or depth > 0:
                self.into(Path(one.path), path, None if depth is None else depth - 1, above | {real})
            elif name and not self._is_base(path):
                self._strays[folder][one.name] = one

    def _file(self, folder: Path, one: os.DirEntry[str], name: str) -> None:
        path = folder / one.name
        if path in self._seen:
            return
        fields = [(place, read) for place, each in enumerate(self._templates) if (read := each.read(name)) is not None]
        if not fields:
            self._strays[folder][one.name] = one
            return
        self._seen.add(path)
        place, read = max(fields, key=lambda pair: self._templates[pair[0]].num_fixed)
        self.found[place].append(Found(path, read))

    def _is_base(self, name: str) -> bool:
        """Whether a folder is one of the bases, or leads to one."""
        return any(base == name or base.startswith(f"{name}/") for base in self._bases)

    def tell(self, fault: Fault) -> None:
        wanted = " and ".join(dict.fromkeys(one.text for one in self._templates))
        for folder, strays in self._strays.items():
            report(folder, list(strays.values()), wanted=wanted, fault=fault, remedy=_REMEDY)
        by_folder: dict[Path, list[Path]] = defaultdict(list)
        for found in self.found.values():
            for one in found:
                by_folder[one.path.parent].append(one.path)
        for folder, paths in by_folder.items():
            refuse_look_alikes(folder, paths, fault)
