"""Data sets of other tools, made into folders of ours."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from explorer.api import driving
from explorer.api.given import path

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from trainables.data.importers.report import Report

Place = str | os.PathLike[str]


@dataclass(frozen=True)
class DataImport:
    """What an import did; shown as text.

    Attributes:
        report: all of it, see `trainables/data/importers/report.py`.
    """

    report: Report

    @property
    def folder(self) -> Path:
        """The data set: what `data` of a trial takes."""
        return self.report.folder

    @property
    def complete(self) -> bool:
        """Whether nothing was left out."""
        return not self.report.left_out

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """What is not in the set: a file, and the reason."""
        return [(one.file, one.reason) for one in self.report.left_out]

    def classes(self) -> pd.DataFrame:
        """Pixels of each class, and annotations drawn (0 for a source of masks)."""
        import pandas as pd

        found = self.report
        counts = {
            "pixels": found.pixels[: len(found.classes)],
            "objects": [found.objects[name] for name in found.classes],
        }
        return pd.DataFrame(counts, index=pd.Index(found.classes, name="class"))

    def __str__(self) -> str:
        return "\n".join(self.report.lines())

    __repr__ = __str__


def import_data(
    kind: str,
    src: Place,
    dst: Place,
    *,
    images: Place | None = None,
    masks: Place | None = None,
    classes: Place | Sequence[str] | None = None,
    colours: Place | None = None,
    tolerance: float | None = None,
    crowd: Literal["ignore", "draw"] | None = None,
    columns: Sequence[str] | None = None,
    background: str | None = "background",
    ignore: Iterable[str] = (),
    val: float | None = None,
    test: float | None = None,
    seed: int | None = None,
    by: str | None = None,
    copy: bool = False,
    console: Console | None = None,
) -> DataImport:
    """Make a folder of ours of what another tool has written. Called again, it writes only what is not there yet.

    Args:
        kind: coco, cvat, labelme, yolo, roboflow, supervisely, hf, voc-custom or rgb.
        src: the folder that the tool has written; for coco and hf also a file.
        dst: a new or empty folder.
        images, masks: the folders that hold them, where they are not where the tool puts them.
        classes: their names in the order of their ids, or a file with a name a line.
        colours: a table of colours, `name r g b` a line, CSV or YAML.
        tolerance: how far a pixel may be from its class's colour, Euclidean in RGB; none: 0, and 40 of JPEG.
        crowd: whether COCO's crowds are ignored (none: they are) or drawn as their class.
        columns: that hold the image and its label.
        background: the name of what no annotation covers; None: such pixels are ignored.
        ignore: classes whose pixels are ignored.
        val, test: shares of the images, where the source has no splits; none: 0.2 and 0.1.
        seed: of these splits; none: as before, or of 0 to 99 that whose splits are nearest to the shares.
        by: which images stay together, such as "{scene}_*"; none: each by itself.
        copy: copy images instead of linking them.
        console: where it shows how far it is; none: this process's output.

    Raises:
        ConfigError: a kind, class or option that there is not.
        DataError: the source cannot be read, or `dst` holds something else.
        MissingExtra: pycocotools is not installed.
        Interrupted: the disk is full.
    """
    from trainables.data.importers.dividing import Shares
    from trainables.data.importers.run import Wanted, run
    from trainables.data.importers.source import Asked

    given: Mapping[str, Any] = {"images": images, "masks": masks, "colours": colours}
    asked = Asked(
        **{name: None if value is None else path(value) for name, value in given.items()},
        classes=None if classes is None else _classes(classes),
        tolerance=None if tolerance is None else float(tolerance),
        crowd=crowd,
        columns=None if columns is None else _columns(columns),
    )
    shares = Shares(None if val is None else float(val), None if test is None else float(test), seed, by)
    wanted = Wanted(background or None, tuple(ignore), shares, copy)
    where = console or driving.console()

    def watched(items: Iterable[Any], total: int) -> Iterable[Any]:
        from rich.progress import track

        return track(items, f"{kind}:", total, console=where, transient=True, disable=not where.is_terminal)

    return DataImport(run(kind, path(src), path(dst), asked=asked, wanted=wanted, watched=watched))


def _classes(given: Place | Sequence[str]) -> tuple[str, ...]:
    """A file's, or those of a text with commas, or of a list."""
    from trainables.data.importers.named import checked, read_names

    if isinstance(given, (str, os.PathLike)):
        if path(given).is_file():
            return read_names(path(given))
        given = os.fspath(given).split(",")
    return checked([str(name).strip() for name in given], "classes")


def _columns(given: Sequence[str]) -> tuple[str, str]:
    from trainables.errors import ConfigError

    if isinstance(given, str) or len(given) != 2:
        raise ConfigError(f"columns must be two, of the image and of its label, got {given!r}.")
    return str(given[0]), str(given[1])
