"""What sheets of pictures share: blocks one above the other, and the legend of the classes' colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw

MARGIN, LINE = 8, 18  # around a block and of a line of text; pixels
PAPER, INK = (255, 255, 255), (20, 20, 20)
_SWATCH = 12  # pixels a side, with its outline
_COLUMN = 180  # pixels


def above(blocks: Sequence[Image.Image], *, across: int) -> Image.Image:
    """The blocks, each `across` pixels wide, on one page."""
    sheet = Image.new("RGB", (across + 2 * MARGIN, sum(block.height + MARGIN for block in blocks) + MARGIN), PAPER)
    top = MARGIN
    for block in blocks:
        sheet.paste(block, (MARGIN, top))
        top += block.height + MARGIN
    return sheet


def text(*words: str, across: int, every: int = 0) -> Image.Image:
    """A line; each of the words begins `every` pixels after the one before."""
    block = Image.new("RGB", (across, LINE), PAPER)
    draw = ImageDraw.Draw(block)
    for place, one in enumerate(words):
        draw.text((place * every, 2), latin(one), fill=INK)
    return block


def legend(entries: Iterable[tuple[str, Image.Image | tuple[int, int, int]]], *, across: int) -> Image.Image:
    """A swatch, of a colour or a pattern, and a name for each entry."""
    named = list(entries)
    columns = across // _COLUMN
    block = Image.new("RGB", (across, -(-len(named) // columns) * LINE), PAPER)
    draw = ImageDraw.Draw(block)
    for place, (name, swatch) in enumerate(named):
        left, top = place % columns * _COLUMN, place // columns * LINE + 2
        block.paste(swatch, (left, top, left + _SWATCH, top + _SWATCH))
        draw.rectangle((left, top, left + _SWATCH - 1, top + _SWATCH - 1), outline=INK)
        draw.text((left + _SWATCH + 4, top), latin(name)[:26], fill=INK)
    return block


def latin(words: str) -> str:
    """What the built-in font can draw, on one line."""
    return " ".join(words.split())[:160].encode("latin-1", "replace").decode("latin-1")
