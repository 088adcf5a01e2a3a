"""`heteroakd pictures`: a sheet of what chosen trials see, with the classes' legend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from explorer import samples
from explorer.samples import Sample
from trainables import atomic

if TYPE_CHECKING:
    from trainables.data.dataset import SegDataset

COLUMNS = ("image", "label", "teacher", "student", "difference")
WIDTH, MARGIN, LINE = 220, 8, 18  # of a picture, around it and of a line of text; pixels
_ACROSS = len(COLUMNS) * (WIDTH + MARGIN) - MARGIN
_PAPER, _INK = (255, 255, 255), (20, 20, 20)
_LEGEND_COLUMN = 180  # pixels


def write(
    directory: Path, numbers: Sequence[int], path: Path, *, num: int = 4, names: Sequence[str] = (), split: str = "val"
) -> None:
    """Write a PNG with a block for each search trial: `num` images, the same ones for all, a row each.

    Raises:
        StudyError, DataError: see `samples.of_trial`.
        Interrupted: the disk is full.
    """
    blocks: list[Image.Image] = []
    for number in numbers:
        title, dataset, rows = samples.look(
            directory, number, role="search", num=num, names=names, split=split, longest=2 * WIDTH
        )
        if not blocks:
            blocks.append(_legend(dataset))
        blocks += [_text(title), _text("", *COLUMNS), *map(_row, rows)]
    sheet = _above(blocks)
    atomic.write(path, lambda part: sheet.save(part, format="PNG"))


def _row(sample: Sample) -> Image.Image:
    pictures = [sample.image, sample.label, sample.teacher, sample.student, sample.difference]
    height = max(1, round(WIDTH * sample.image.shape[0] / sample.image.shape[1]))
    row = Image.new("RGB", (_ACROSS, height + LINE), _PAPER)
    for place, picture in enumerate(pictures):
        if picture is not None:
            method = Image.Resampling.BILINEAR if place == 0 else Image.Resampling.NEAREST
            row.paste(Image.fromarray(picture).resize((WIDTH, height), method), (place * (WIDTH + MARGIN), 0))
    score = "nothing is labelled" if np.isnan(sample.miou) else f"mIoU {100 * sample.miou:.1f} %"
    ImageDraw.Draw(row).text((0, height + 2), _latin(f"{sample.name}: {score}"), fill=_INK)
    return row


def _text(title: str, *columns: str) -> Image.Image:
    block = Image.new("RGB", (_ACROSS, LINE), _PAPER)
    draw = ImageDraw.Draw(block)
    draw.text((0, 2), _latin(title), fill=_INK)
    for place, words in enumerate(columns):
        draw.text((place * (WIDTH + MARGIN), 2), words, fill=_INK)
    return block


def _legend(dataset: SegDataset) -> Image.Image:
    ignored = np.zeros((10, 10, 3), np.uint8), np.ones((10, 10), bool)
    entries: list[tuple[str, Image.Image]] = [
        (name, Image.new("RGB", (10, 10), tuple(colour)))
        for name, colour in zip(dataset.classes, dataset.palette, strict=True)
    ]
    entries += [("ignored", Image.fromarray(samples.striped(*ignored)))]
    entries += [("wrong (in difference)", Image.new("RGB", (10, 10), samples.WRONG))]
    across = _ACROSS // _LEGEND_COLUMN
    block = Image.new("RGB", (_ACROSS, -(-len(entries) // across) * LINE), _PAPER)
    draw = ImageDraw.Draw(block)
    for place, (name, swatch) in enumerate(entries):
        left, top = place % across * _LEGEND_COLUMN, place // across * LINE
        block.paste(swatch, (left + 1, top + 3))
        draw.rectangle((left, top + 2, left + 11, top + 13), outline=_INK)
        draw.text((left + 16, top + 2), _latin(name)[:26], fill=_INK)
    return block


def _above(blocks: list[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (_ACROSS + 2 * MARGIN, sum(block.height + MARGIN for block in blocks) + MARGIN), _PAPER)
    top = MARGIN
    for block in blocks:
        sheet.paste(block, (MARGIN, top))
        top += block.height + MARGIN
    return sheet


def _latin(text: str) -> str:
    """What the built-in font can draw, on one line."""
    return " ".join(text.split())[:160].encode("latin-1", "replace").decode("latin-1")
