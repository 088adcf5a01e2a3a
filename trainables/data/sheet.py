"""A picture of a data set: samples of each split beside their labels in the palette, and the legend."""

from __future__ import annotations

import colorsys
import itertools
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from trainables.data.dataset import Sample, SegDataset
from trainables.data.doctor import evenly
from trainables.data.images import read_image
from trainables.data.masks import read_mask
from trainables.errors import DataError

SAMPLES = 4  # of a split, two a row
WIDTH, MARGIN, LINE = 240, 8, 16  # of a picture, around it and of a line of text; pixels
_ACROSS = 4 * WIDTH + 3 * MARGIN  # two samples, each an image and its label
_PAPER, _INK, _UNKNOWN, _IGNORED = (255, 255, 255), (20, 20, 20), (255, 0, 255), (0, 0, 0)
_LEGEND_COLUMN = 150  # pixels


def write_sheet(dataset: SegDataset, path: Path, *, splits: list[str]) -> None:
    """Write a PNG. Up to four readable samples of each split; ignored pixels darkened, unknown ids magenta.

    Raises:
        DataError: the file cannot be written.
    """
    blocks = [_legend(dataset)]
    for split in splits:
        pictures = _pictures(dataset, split)
        rows = [_beside(pictures[first : first + 2]) for first in range(0, len(pictures), 2)]
        blocks += [_caption(split), *rows]
    sheet = _above(blocks)
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
    row = Image.new("RGB", (_ACROSS, max(picture.height for picture in pictures)), _PAPER)
    for place, picture in enumerate(pictures):
        row.paste(picture, (place * (picture.width + MARGIN), 0))
    return row


def _above(blocks: list[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (_ACROSS + 2 * MARGIN, sum(block.height + MARGIN for block in blocks) + MARGIN), _PAPER)
    top = MARGIN
    for block in blocks:
        sheet.paste(block, (MARGIN, top))
        top += block.height + MARGIN
    return sheet


def _picture(dataset: SegDataset, sample: Sample) -> Image.Image | None:
    """Image and overlay side by side; None for what cannot be read."""
    try:
        image, ids = read_image(sample.image), read_mask(sample.label)
    except DataError:
        return None
    if ids.shape != image.shape[:2]:
        return None
    size = (WIDTH, max(1, round(WIDTH * ids.shape[0] / ids.shape[1])))
    photo = Image.fromarray(image).resize(size)
    label = Image.fromarray(colours(dataset)[np.asarray(Image.fromarray(ids).resize(size, Image.Resampling.NEAREST))])
    row = Image.new("RGB", (2 * WIDTH + MARGIN, size[1] + LINE), _PAPER)
    row.paste(photo, (0, 0))
    row.paste(Image.blend(photo, label, 0.6), (WIDTH + MARGIN, 0))
    ImageDraw.Draw(row).text((0, size[1] + 2), f"{sample.image.name}, {ids.shape[0]}x{ids.shape[1]}", fill=_INK)
    return row


def _caption(text: str) -> Image.Image:
    block = Image.new("RGB", (_ACROSS, LINE), _PAPER)
    ImageDraw.Draw(block).text((0, 2), text, fill=_INK)
    return block


def _legend(dataset: SegDataset) -> Image.Image:
    entries = [*zip(dataset.classes, dataset.palette, strict=True), ("ignored", _IGNORED), ("unknown id", _UNKNOWN)]
    across = _ACROSS // _LEGEND_COLUMN
    block = Image.new("RGB", (_ACROSS, -(-len(entries) // across) * LINE), _PAPER)
    draw = ImageDraw.Draw(block)
    for place, (name, colour) in enumerate(entries):
        left, top = place % across * _LEGEND_COLUMN, place // across * LINE
        draw.rectangle((left, top + 2, left + 11, top + 13), fill=colour, outline=_INK)
        draw.text((left + 16, top + 2), name.encode("latin-1", "replace").decode("latin-1"), fill=_INK)
    return block
