"""Masks whose pixels are colours: tables of colours and classes, as people write them."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainables.data.coding import ColourCode
from trainables.data.importers.foreign import plain_text, read_json
from trainables.data.importers.source import IGNORED, Label
from trainables.drawing.palette import Colour
from trainables.errors import ConfigError, DataError
from trainables.yamls import load_yaml

Table = dict[Colour, str]
"""Classes by their colours; a class may have several."""


def read_table(path: Path) -> Table:
    """Of `name r g b` (in this order or the other, with commas, tabs or blanks), YAML or JSON of names and colours.

    Raises:
        DataError: no such file, a line that is no colour and no heading, or one colour for two classes.
    """
    rows = _of_mapping(path) if path.suffix.lower() in (".yaml", ".yml", ".json") else _of_lines(path)
    table: Table = {}
    for name, colour in rows:
        if table.setdefault(colour, name) != name:
            raise DataError(f"{path} has the colour {_shown(colour)} for {table[colour]} and for {name}. Keep one.")
    if not table:
        raise DataError(f"{path} names no class. Write lines such as `road 128 64 128`.")
    return table


def numbered(table: Table) -> tuple[tuple[str, ...], tuple[Colour, ...]]:
    """The classes in the order of the table, and the first colour of each."""
    first: dict[str, Colour] = {}
    for colour, name in table.items():
        first.setdefault(name, colour)
    return tuple(first), tuple(first.values())


def by_colour(mask: Path, table: Table, *, tolerance: float | None) -> Label:
    """Numbers of the classes of `numbered`, and IGNORED for what is of no class's colour; see `ColourCode`.

    Raises:
        DataError: the mask cannot be read.
    """
    numbers = {name: number for number, name in enumerate(numbered(table)[0])}
    of_colours = {colour: numbers[name] for colour, name in table.items()}
    found = ColourCode(of_colours, ignore_index=IGNORED, tolerance=tolerance, unmatched=1.0).read(mask)
    notes = Counter({"pixels of no class's colour, which are ignored": found.unmatched})
    return Label(found.ids, notes=+notes)


def _of_lines(path: Path) -> Iterable[tuple[str, Colour]]:
    for number, line in enumerate(plain_text(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = next(csv.reader([line])) if "," in line else line.split()
        found = _row([cell.strip() for cell in cells])
        if found is not None:
            yield found
        elif number > 1:  # the first line may be a heading
            raise DataError(f"{path} line {number} must be a name and three numbers of 0 to 255, got {line.strip()!r}.")


def _row(cells: Sequence[str]) -> tuple[str, Colour] | None:
    """The colour stands behind the name, or before it."""
    for name, colour in ((cells[:-3], cells[-3:]), (cells[3:], cells[:3])):
        if name and (found := as_colour(colour)) is not None:
            return " ".join(name).strip(), found
    return None


def as_colour(value: Any) -> Colour | None:
    """Three numbers of 0 to 255, or `#rrggbb`; None: it is no colour."""
    if isinstance(value, str):
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
            return None
        value = [int(value[place : place + 2], 16) for place in (1, 3, 5)]
    if not isinstance(value, Sequence) or len(value) != 3:
        return None
    if not all(str(one).isdecimal() and int(one) <= 255 for one in value):
        return None
    red, green, blue = map(int, value)
    return red, green, blue


def _of_mapping(path: Path) -> Iterable[tuple[str, Colour]]:
    try:
        values = read_json(path) if path.suffix.lower() == ".json" else load_yaml(path)
    except ConfigError as error:
        raise DataError(str(error)) from None
    if isinstance(values, Mapping) and {"classes", "palette"} <= values.keys():  # as dataset.yaml has it
        values = dict(zip(values["classes"], values["palette"], strict=False))
    if not isinstance(values, Mapping):
        raise DataError(f"{path} must map names to colours, such as `road: [128, 64, 128]`.")
    for name, given in values.items():
        colour = as_colour(given)
        if colour is None:
            raise DataError(f"{path}: {name} must be three numbers of 0 to 255 or '#rrggbb', got {given!r}.")
        yield str(name), colour


def _shown(colour: Colour) -> str:
    return " ".join(map(str, colour))
