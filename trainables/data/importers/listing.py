"""Where the images of a source are, and which split it puts them into."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from trainables.data.faults import first_three
from trainables.data.images import SUFFIXES
from trainables.data.names import in_order
from trainables.errors import DataError

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def split_in(*words: str) -> str | None:
    """The split that a name speaks of, `instances_train2017` or `valid`; of several names the first that does."""
    for word in words:
        for part in re.split(r"[^a-z]+", word.lower()):
            if part in _SPLITS:
                return _SPLITS[part]
    return None


def split_of(folders: Iterable[str]) -> str | None:
    """The split of a file, by the folders it lies in."""
    return next((_SPLITS[name.lower()] for name in folders if name.lower() in _SPLITS), None)


def walked(root: Path) -> Iterator[Path]:
    """All files below a folder, in order, but for hidden ones."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted((name for name in folders if name[0] != "." and name != "__MACOSX"), key=in_order)
        yield from (Path(folder, name) for name in sorted(files, key=in_order) if name[0] != ".")


def is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def without_ending(path: Path, root: Path) -> str:
    """A file's name below a folder, with slashes and without its ending."""
    return path.relative_to(root).with_suffix("").as_posix()


def said(path: Path, src: Path) -> str:
    """A file as the report names it."""
    return path.relative_to(src).as_posix() if path.is_relative_to(src) else str(path)


class Images:
    """The image files below some folders, to be found by the end of their path."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = roots

    def find(self, name: str, *, near: str | None = None) -> Path:
        """An image.

        Args:
            name: its path, as far as the source says it; without an ending, any will do.
            near: a split: of several images the one in its folder.

        Raises:
            DataError: there is none, or more than one; the sentence goes on from the name.
        """
        wanted = PurePosixPath(
            *(part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("..", "/"))
        )
        for root in self._roots:
            if wanted.name and (root / wanted).is_file():
                return root / wanted
        found = self._like(wanted)
        if len(found) > 1 and near is not None:
            found = [path for path in found if split_in(*reversed(path.parts[:-1])) == near] or found
        if len(found) > 1:
            raise DataError(
                f"is there more than once: {first_three(list(map(str, found)))}. Keep one, or give --images."
            )
        if not found:
            where = " or ".join(map(str, self._roots))
            raise DataError(f"is not there: no such image below {where}. Add it, or give --images.")
        return found[0]

    def _like(self, wanted: PurePosixPath) -> list[Path]:
        """Those of this name of whose folders and the wanted ones the shorter path ends the longer one."""
        named = self._by_name.get(wanted.name, []) or self._by_name.get(f"{wanted.name}/", [])
        return [path for root, path in named if _ends_alike(path.relative_to(root).parts[:-1], wanted.parts[:-1])]

    @cached_property
    def _by_name(self) -> dict[str, list[tuple[Path, Path]]]:
        """With their roots, under their names, and without ending (marked by a slash, which no name holds)."""
        found: dict[str, list[tuple[Path, Path]]] = defaultdict(list)
        seen = set()
        for root, path in ((top, path) for top in self._roots for path in walked(top) if is_image(path)):
            if path not in seen:
                seen.add(path)
                found[path.name].append((root, path))
                found[f"{path.stem}/"].append((root, path))
        return found


def _ends_alike(one: Sequence[str], other: Sequence[str]) -> bool:
    common = min(len(one), len(other))
    return not common or tuple(one[-common:]) == tuple(other[-common:])
