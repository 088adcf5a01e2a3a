"""`heteroakd pictures`: a sheet of what chosen trials see, with the classes' legend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from explorer.show import samples
from explorer.show.samples import Sample
from trainables.drawing import sheets
from trainables.drawing.sheets import INK, LINE, MARGIN, PAPER, latin
from trainables.kept import atomic

if TYPE_CHECKING:
    from trainables.data.dataset import SegDataset

COLUMNS = ("image", "label", "teacher", "student", "difference")
WIDTH = 220  # pixels of a picture
_ACROSS = len(COLUMNS) * (WIDTH + MARGIN) - MARGIN


@atomic.outside_a_sweep()
def write(
    directory: Path, numbers: Sequence[int], path: Path, *, num: int = 4, names: Sequence[str] = (), split: str = "val"
) -> None:
    """Write a PNG with a block for each search trial: `num` images, the same ones for all, a row each.

    Raises:
        ConfigError: see `atomic.check_file`.
        StudyError, DataError: see `samples.of_trial`.
        Interrupted: the disk is full.
    """
    atomic.check_file(path)
    blocks: list[Image.Image] = []
    for number in numbers:
        title, dataset, rows = samples.look(
            directory, number, role="search", num=num, names=names, split=split, longest=2 * WIDTH
        )
        if not blocks:
            blocks.append(_legend(dataset))
        columns = sheets.text(*COLUMNS, across=_ACROSS, every=WIDTH + MARGIN)
        blocks += [sheets.text(title, across=_ACROSS), columns, *map(_row, rows)]
    sheet = sheets.above(blocks, across=_ACROSS)
    atomic.write(path, lambda part: sheet.save(part, format="PNG"))


def _row(sample: Sample) -> Image.Image:
    pictures = [sample.image, sample.label, sample.teacher, sample.student, sample.difference]
    height = max(1, round(WIDTH * sample.image.shape[0] / sample.image.shape[1]))
    row = Image.new("RGB", (_ACROSS, height + LINE), PAPER)
    for place, picture in enumerate(pictures):
        if picture is not None:
            method = Image.Resampling.BILINEAR if place == 0 else Image.Resampling.NEAREST
            row.paste(Image.fromarray(picture).resize((WIDTH, height), method), (place * (WIDTH + MARGIN), 0))
    score = "nothing is labelled" if np.isnan(sample.miou) else f"mIoU {100 * sample.miou:.1f} %"
    ImageDraw.Draw(row).text((0, height + 2), latin(f"{sample.name}: {score}"), fill=INK)
    return row


def _legend(dataset: SegDataset) -> Image.Image:
    ignored = samples.striped(np.zeros((12, 12, 3), np.uint8), np.ones((12, 12), bool))
    known = zip(dataset.classes, dataset.palette, strict=True)
    entries: list[tuple[str, Any]] = [
        *known,
        ("ignored", Image.fromarray(ignored)),
        ("wrong (in difference)", samples.WRONG),
    ]
    return sheets.legend(entries, across=_ACROSS)
