"""A picture of a data set: samples of each split beside their labels in the palette, and the legend."""

from __future__ import annotations

import colorsys
import itertools
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from trainables.data import banded
from trainables.data.dataset import Sample, SegDataset
from trainables.data.doctor import evenly
from trainables.drawing import sheets, shown
from trainables.drawing.sheets import INK, LINE, MARGIN, PAPER
from trainables.errors import DataError

SAMPLES = 4  # of a split, two a row
WIDTH = 240  # pixels of a picture
_ACROSS = 4 * WIDTH + 3 * MARGIN  # two samples, each an image and its label
_UNKNOWN, _IGNORED = (255, 0, 255), (0, 0, 0)


def write_sheet(dataset: SegDataset, path: Path, *, splits: list[str]) -> None:
    """Write a PNG. Up to four readable samples of each split; ignored pixels darkened, unknown ids magenta.

    Raises:
        DataError: the file cannot be written.
    """
    blocks = [_legend(dataset)]
    for split in splits:
        pictures = _pictures(dataset, split)
        rows = [_beside(pictures[first : first + 2]) for first in range(0, len(pictures), 2)]
        blocks += [sheets.text(split, across=_ACROSS), *rows]
    sheet = sheets.above(blocks, across=_ACROSS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path, format="PNG")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}. Give another --out.") from None


def colours(dataset: SegDataset) -> UInt8[np.ndarray, "ids 3"]:
    """The colour of each 8-bit id of the files. A set without classes gets a hue for each id."""
    table = np.tile(np.array(_UNKNOWN, np.uint8), (256, 1))
    if not dataset.classes:
        hues = [colorsys.hsv_to_rgb(number * 0.618 % 1, 0.6, 0.9) for number in range(256)]
        return (255 * np.array(hues)).astype(np.uint8)
    numbers = dataset.ids or {number: number for number in (*range(dataset.num_classes), dataset.ignore_index)}
    for stored, number in numbers.items():
        table[stored] = _IGNORED if number == dataset.ignore_index else dataset.palette[number]
    return table


def _pictures(dataset: SegDataset, split: str) -> list[Image.Image]:
    """Of the first readable ones among evenly spaced samples."""
    chosen = evenly(dataset.samples(split), SAMPLES**2)
    spaced = [sample for first in range(SAMPLES) for sample in chosen[first::SAMPLES]]
    pictures = (_picture(dataset, sample) for sample in spaced)
    return list(itertools.islice(filter(None, pictures), SAMPLES))


def _beside(pictures: list[Image.Image]) -> Image.Image:
    row = Image.new("RGB", (_ACROSS, max(picture.height for picture in pictures)), PAPER)
    for place, picture in enumerate(pictures):
        row.paste(picture, (place * (picture.width + MARGIN), 0))
    return row


def _picture(dataset: SegDataset, sample: Sample) -> Image.Image | None:
    """Image and overlay side by side; None for what cannot be read."""
    try:
        image = shown.picture(banded.read(sample.image, dataset.bands), dataset.bands)
        ids = dataset.read_label(sample.label).ids
    except DataError:
        return None
    if ids.shape != image.shape[:2]:
        return None
    size = (WIDTH, max(1, round(WIDTH * ids.shape[0] / ids.shape[1])))
    photo = Image.fromarray(image).resize(size)
    label = Image.fromarray(colours(dataset)[np.asarray(Image.fromarray(ids).resize(size, Image.Resampling.NEAREST))])
    row = Image.new("RGB", (2 * WIDTH + MARGIN, size[1] + LINE), PAPER)
    row.paste(photo, (0, 0))
    row.paste(Image.blend(photo, label, 0.6), (WIDTH + MARGIN, 0))
    ImageDraw.Draw(row).text((0, size[1] + 2), f"{sample.image.name}, {ids.shape[0]}x{ids.shape[1]}", fill=INK)
    return row


def _legend(dataset: SegDataset) -> Image.Image:
    known = zip(dataset.classes, dataset.palette, strict=True)
    return sheets.legend([*known, ("ignored", _IGNORED), ("unknown id", _UNKNOWN)], across=_ACROSS)
