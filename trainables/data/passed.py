"""Files that a layout would pass over: a fault that counts them, so that no sample is missed without a word."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from trainables.data.faults import Fault, counted, first_three
from trainables.data.names import folded, in_order

_LITTER = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", "@eadir", "__macosx"})
_NO_IMAGE = frozenset(
    {
        *(".txt", ".md", ".json", ".csv", ".xml", ".yaml", ".yml", ".html", ".pdf", ".log", ".cache"),
        *(".ovr", ".tfw", ".pgw", ".jgw", ".wld", ".prj", ".xmp", ".md5", ".sha256"),
    }
)
"""Text beside images: what labelling tools, cameras and map software leave."""

_REMEDY = "Convert, rename, move or remove the rest."


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """Of a folder, in the order of their names, but for hidden ones and what systems and tools leave beside images."""
    with os.scandir(folder) as found:
        seen = [one for one in found if one.name[0] != "." and one.name.lower() not in _LITTER]
    ends = {one.name: os.path.splitext(one.name)[1].lower() for one in seen}  # noqa: PTH122
    return sorted(
        (one for one in seen if ends[one.name] not in _NO_IMAGE or one.is_dir()), key=lambda one: in_order(one.name)
    )


def taken(folder: Path, fits: Callable[[str], bool], *, wanted: str, fault: Fault) -> list[Path]:
    """The files of a folder whose names fit, in the order of their names; the other entries are one fault.

    Args:
        wanted: which files are taken, for the sentence, such as "NAME.png".
    """
    there = entries(folder)
    paths = [folder / one.name for one in there if fits(one.name) and not one.is_dir()]
    report(folder, [one for one in there if not fits(one.name) or one.is_dir()], wanted=wanted, fault=fault)
    refuse_look_alikes(folder, paths, fault)
    return paths


def report(
    folder: Path, passed: Collection[os.DirEntry[str]], *, wanted: str, fault: Fault, remedy: str = _REMEDY
) -> None:
    """One fault for what is passed over in a folder; none for nothing."""
    if passed:
        number = counted(len(passed), "entry", "entries")
        named = first_three([_said(one) for one in passed])
        fault(
            f"{number} of {folder} would be passed over: {named}. It may hold {wanted}. {remedy}",
            [one.path for one in passed],
        )


def refuse_strays(folder: Path, splits: Collection[str], suffixes: Collection[str], fault: Fault) -> None:
    """Files that lie beside the splits, and splits whose name is spelt otherwise; other folders are the user's own.

    Args:
        folder: of the splits; it need not be there.
        splits: their names.
        suffixes: of the files that may not lie there, lower case.
    """
    if not folder.is_dir():
        return
    passed = [
        one
        for one in entries(folder)
        if (Path(one.name).suffix.lower() in suffixes and not one.is_dir())
        or (one.name not in splits and folded(one.name) in splits)
    ]
    report(folder, passed, wanted=f"the folders {', '.join(splits)}", fault=fault)


def _said(one: os.DirEntry[str]) -> str:
    """A folder with the number of files below it."""
    if not one.is_dir():
        return one.name
    return f"{one.name}/ with {counted(sum(len(names) for _, _, names in os.walk(one.path)), 'file')}"


def refuse_look_alikes(folder: Path, paths: Iterable[Path], fault: Fault) -> None:
    """Two names that differ in case or Unicode form alone: on another disk one would take the other's place."""
    first: dict[str, Path] = {}
    alike = []
    for path in paths:
        known = first.setdefault(folded(path.stem), path)
        if known.stem != path.stem:
            alike.append(f"{known.name} and {path.name}")
    if alike:
        fault(
            f"{folder} holds {counted(len(alike), 'pair')} of names that differ in case or Unicode form alone: "
            f"{first_three(alike)}. Rename or remove one of each.",
            alike,
        )
