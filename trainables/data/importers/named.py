"""Classes by the lines of a file, and masks that hold their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from trainables.data.faults import counted, ranges
from trainables.data.images import opened
from trainables.data.importers.foreign import plain_text, read_json
from trainables.data.importers.source import IGNORED, Ids, Label, Size
from trainables.errors import DataError

FILES = ("classes.txt", "class_names.txt", "labels.txt", "names.txt", "obj.names")


def read_names(path: Path) -> tuple[str, ...]:
    """Classes: a name a line, or JSON of ids and names. Labelme's `__ignore__`, its id -1, is left out.

    Raises:
        DataError: no such file, ids with gaps, or a name twice.
    """
    if path.suffix.lower() == ".json":
        values = read_json(path)
        by_id = {str(number): name for number, name in (values if isinstance(values, Mapping) else {}).items()}
        if not by_id or sorted(by_id) != sorted(map(str, range(len(by_id)))):
            raise DataError(f'{path} must name each id from 0 on, such as `{{"0": "road", "1": "sky"}}`.')
        names = tuple(str(by_id[str(number)]).strip() for number in range(len(by_id)))
    else:
        lines = (line.strip() for line in plain_text(path).splitlines())
        names = tuple(line for line in lines if line and line != "__ignore__")
    return checked(names, str(path))


def checked(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Raises:
    DataError: no name, an empty one, or one twice.
    """
    if not names or len(set(names)) < len(names) or not all(names):
        raise DataError(f"{where} must name each class once, got {', '.join(map(repr, names)) or 'none'}.")
    return tuple(names)


def find_names(src: Path, *, otherwise: str = "") -> tuple[str, ...]:
    """Of the first file of `FILES` that the source has.

    Raises:
        DataError: there is none.
    """
    for name in (*FILES, otherwise):
        if name and (src / name).is_file():
            return read_names(src / name)
    raise DataError(
        f"{src} does not name its classes in {', '.join((*FILES, otherwise)).rstrip(', ')}. "
        "Give --classes road,sky,... in the order of their ids, or a file with a name a line."
    )


def reader(mask: Path, *, numbers: Mapping[int, int], rule: str) -> partial[Label]:
    """What reads a mask.

    Args:
        numbers: of the classes, by what the mask stores.
        rule: which ids may stand in it, for the sentence.
    """
    return partial(_draw, mask=mask, numbers=numbers, rule=rule)


def _draw(size: Size, *, mask: Path, numbers: Mapping[int, int], rule: str) -> Label:  # noqa: ARG001
    """The size of the image is compared with the mask's afterwards."""
    with opened(mask, None) as image:
        if image.mode not in ("L", "P"):
            raise DataError(
                f"{mask} has pixels of mode {image.mode}, but must be a palette or 8-bit grey image of class ids. "
                "Masks of colours are read by `heteroakd data import rgb`."
            )
        stored = np.array(image)
    return Label(as_numbers(stored, numbers, where=str(mask), rule=rule))


def as_numbers(stored: Ids, numbers: Mapping[int, int], *, where: str, rule: str) -> Ids:
    """Numbers of classes for the ids that are stored; 255 is ignored unless it is a class.

    Raises:
        DataError: ids that `numbers` does not know.
    """
    table = np.full(256, IGNORED, np.uint8)
    table[list(numbers)] = list(numbers.values())
    strange = sorted(set(np.unique(stored).tolist()) - {*numbers, IGNORED})
    if strange:
        raise DataError(f"{where} holds {counted(len(strange), 'id')} that {rule} does not name: {ranges(strange)}.")
    return table[stored]
