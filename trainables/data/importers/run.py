"""An import from beginning to end: read the index, divide, draw, write, count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.importers import IMPORTERS
from trainables.data.importers.convert import Classes, Done, called, convert, drawn, looked_at, stem
from trainables.data.importers.dividing import Shares, divide
from trainables.data.importers.report import Report
from trainables.data.importers.source import (
    IGNORED,
    MOST_CLASSES,
    UNCOVERED,
    Asked,
    Found,
    Importer,
    LeftOut,
    Picture,
)
from trainables.data.importers.target import Target
from trainables.data.names import folded
from trainables.drawing.palette import distinct
from trainables.errors import ConfigError, DataError, unknown
from trainables.kept.atomic import interrupting, outside_a_sweep

_THREADS = 4
_FARTHEST = 441  # from black to white

Watched = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass(frozen=True)
class Wanted:
    """What becomes of a source.

    Attributes:
        background: the name of what no annotation covers; None: it is ignored.
        ignore: classes whose pixels are ignored.
        shares: of the splits, where the source has none.
        copy: copy images instead of linking them.
    """

    background: str | None = "background"
    ignore: tuple[str, ...] = ()
    shares: Shares = field(default_factory=Shares)
    copy: bool = False


def run(kind: str, src: Path, dst: Path, *, asked: Asked, wanted: Wanted, watched: Watched) -> Report:
    """Import a tree of another tool into a folder of our layout. Again, it writes only what is not there yet.

    Args:
        kind: of IMPORTERS.
        src: the tree; for some kinds a file may be given.
        dst: a new or empty folder, or that of the same import.
        watched: passes on what it is given while it shows how far it is; its second argument is how many there are.

    Raises:
        ConfigError: an option that the kind does not read, or a class that there is not.
        DataError: the source's index cannot be read, or the folder holds something else.
        MissingExtra: the packages that the kind needs.
        Interrupted: the disk is full.
    """
    importer = _importer(kind, asked)
    _check_source(src)
    found = importer.read(src, asked)
    if not found.pictures:
        first = f": {found.left_out[0].file} {found.left_out[0].reason}" if found.left_out else "."
        raise DataError(f"{src} has no labelled image that could be read{first}")
    target = Target(dst, copy=wanted.copy)
    recorded = _recorded(kind, src, asked, wanted)
    divided = divide(found, src, wanted.shares, seed=target.seed_of(recorded))
    classes = _classes(found, wanted, draws=importer.draws)
    described = {"classes": list(classes.names), "palette": [list(one) for one in classes.palette], "ignore_index": 255}
    with outside_a_sweep(), interrupting(dst):
        target.claim(src, {**recorded, "seed": divided.seed})
        target.check_described(described)
        report = Report(
            kind, src, dst, classes.names, notes=[*divided.notes, *found.notes], left_out=list(found.left_out)
        )
        _write(found, divided.splits, partial(convert, target=target, classes=classes, src=src), report, watched)
        own = report.places
        report.left_out += [LeftOut(one, "is not of this import. Remove it.") for one in target.strangers(own)]
        target.describe({**described, "imported": {"kind": kind, "source": str(src)}})
        target.list_left_out(f"{one.file}: {one.reason}\n" for one in report.left_out)
    return report


def _importer(kind: str, asked: Asked) -> Importer:
    if kind not in IMPORTERS:
        raise ConfigError(unknown("kind", kind, IMPORTERS, "docs/data.md says what each reads."))
    reads = IMPORTERS[kind].options
    for name, value in vars(asked).items():
        if value is not None and name not in reads:
            others = ", ".join(other for other, one in IMPORTERS.items() if name in one.options)
            raise ConfigError(f"{name} is read by {others}, not by {kind}. Leave it out.")
    if asked.tolerance is not None and not 0 <= asked.tolerance <= _FARTHEST:
        raise ConfigError(f"tolerance must be 0 to {_FARTHEST}, got {asked.tolerance:g}.")
    if asked.crowd not in (None, "ignore", "draw"):
        raise ConfigError(f"crowd must be ignore or draw, got {asked.crowd!r}.")
    for name in ("images", "masks"):
        if (folder := getattr(asked, name)) is not None and not folder.is_dir():
            raise ConfigError(f"{name} must be a folder, got {folder}.")
    return IMPORTERS[kind]


def _check_source(src: Path) -> None:
    if not src.exists():
        raise DataError(f"{src} does not exist. Give the folder that the tool has written.")
    if src.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z"):
        raise DataError(f"{src} is an archive. Unpack it, and give the folder.")
    if src.is_file() and src.suffix.lower() not in (".json", ".parquet"):
        raise DataError(f"{src} must be a folder. Give the one that holds it.")


def _classes(found: Found, wanted: Wanted, *, draws: bool) -> Classes:
    """Background is class 0 where the source has shapes, no such class, and pixels that no shape covers."""
    names = found.classes
    if len(names) > MOST_CLASSES:
        raise DataError(
            f"The source names {len(names)} classes, but 8-bit masks hold {MOST_CLASSES} at most. Merge some."
        )
    for name in wanted.ignore:
        if name not in names:
            raise ConfigError(unknown("class", name, names, "ignore names classes of the source."))
    ground = wanted.background if draws else None
    like = next((name for name in names if ground and name.casefold() == ground.casefold()), None)
    adds = ground is not None and like is None and _uncovered(found.pictures)
    kept = [*([str(ground)] if adds else []), *(name for name in names if name not in wanted.ignore)]
    if not kept:
        raise ConfigError(f"ignore names all classes ({', '.join(names)}). Keep some.")
    own = dict(zip(names, found.palette or distinct(len(names)), strict=True))
    palette = tuple(own.get(name, (0, 0, 0)) for name in kept)
    if len(set(palette)) < len(palette):
        palette = distinct(len(kept))
    ids = np.full(256, IGNORED, np.uint8)
    for number, name in enumerate(names):
        if name in kept:
            ids[number] = kept.index(name)
    if adds or like in kept:
        ids[UNCOVERED] = kept.index(str(like or ground))
    return Classes(tuple(kept), palette, ids)


def _uncovered(pictures: Sequence[Picture]) -> bool:
    """Whether any image has a pixel that no shape covers; nearly always the first one has."""
    for picture in pictures:
        try:
            size, _ = looked_at(picture)
            if (drawn(picture, size).ids == UNCOVERED).any():
                return True
        except DataError:
            continue
    return False


def _write(
    found: Found, splits: Sequence[str], convert_one: Callable[[str, Picture], Done], report: Report, watched: Watched
) -> None:
    tasks, twins = _distinct(found.pictures, splits, report.source)
    report.left_out += twins
    report.images = dict.fromkeys(("train", "val", *(["test"] if "test" in splits else [])), 0)
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            for done in watched(pool.map(lambda task: convert_one(*task), tasks), len(tasks)):
                report.add(done, found.classes)
        except BaseException:  # Ctrl-C, too: what has not begun is not waited for
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if not report.places:
        first = report.left_out[0]
        raise DataError(f"{report.source} has no labelled image that could be read: {first.file} {first.reason}")


def _distinct(
    pictures: Sequence[Picture], splits: Sequence[str], src: Path
) -> tuple[list[tuple[str, Picture]], list[LeftOut]]:
    """Of pictures whose files would have one name, or names that differ in case alone, the first."""
    taken: dict[tuple[str, str], Picture] = {}
    twins = []
    for picture, split in zip(pictures, splits, strict=True):
        first = taken.setdefault((split, folded(stem(picture, split))), picture)
        if first is not picture:
            reason = f"would have the name of {called(first, src)} in {split}. Rename one."
            twins.append(LeftOut(called(picture, src), reason))
    return [(split, picture) for (split, _), picture in taken.items()], twins


def _recorded(kind: str, src: Path, asked: Asked, wanted: Wanted) -> dict[str, Any]:
    """What decides what is written; how images are placed does not."""
    given = {**asdict(asked), "background": wanted.background, "ignore": wanted.ignore, **wanted.shares._asdict()}
    options = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    return {"kind": kind, "source": str(src.resolve()), "options": options}
