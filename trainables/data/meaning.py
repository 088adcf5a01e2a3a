"""dataset.yaml, of the classes: their names, and which ids or colours of the masks mean them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator, model_validator

from trainables.data.coding import MOST_ID, Coding, ColourCode, WideIds
from trainables.data.colours import Colour
from trainables.data.masks import shown
from trainables.drawing.palette import distinct
from trainables.errors import unknown
from trainables.yamls import as_written

_MOST_CLASSES = 255  # 8-bit masks, one id for ignore_index
_FARTHEST = 442.0  # black from white

Byte = Annotated[int, Field(ge=0, le=255)]
Id = Annotated[int, Field(ge=0, le=MOST_ID)]
RGB = tuple[Byte, Byte, Byte]


class Meaning(BaseModel):
    """The fields of dataset.yaml that say what a pixel of a mask is; others are left alone.

    Attributes:
        classes: names, in the order of their ids; none: those of `colours`, or those that `ids` names, in their order.
        palette: RGB of each class; none: the first of its `colours`, or colours far apart.
        ignore_index: the id of what is ignored.
        ids: an id of the masks -> a class's id or name, or ignore_index.
        colours: a class -> its colours in the masks.
        tolerance: see `ColourCode`.
        unmatched: see `ColourCode`.
        ignore: ids, colours, or names of `colours` or `ids`, whose pixels are ignored.
    """

    name: str | None = None
    classes: tuple[str, ...] = ()
    palette: tuple[RGB, ...] | None = None
    ignore_index: int = 255
    ids: dict[Id, int | str] | None = None
    colours: dict[str, tuple[RGB, ...]] | None = None
    tolerance: float | None = Field(None, ge=0, le=_FARTHEST)
    unmatched: float | None = Field(None, ge=0, le=1)
    ignore: tuple[Id | RGB | str, ...] = ()

    @cached_property
    def coding(self) -> Coding | None:
        """None where the masks hold 8-bit ids."""
        if self.colours is not None:
            return ColourCode(self._of_colours(), self.ignore_index, self.tolerance, self.unmatched)
        numbers = self._of_ids()
        return WideIds(numbers) if max(numbers, default=0) > 255 else None

    @cached_property
    def mapped(self) -> dict[int, int] | None:
        """The number of every 8-bit id that a mask may hold; None: ids are class ids, or there is a coding."""
        return None if self.coding is not None else self._of_ids() or None

    @cached_property
    def class_palette(self) -> tuple[Colour, ...]:
        """What the classes are drawn in."""
        if self.palette is not None:
            return self.palette
        if self.colours is not None:
            return tuple(self.colours[name][0] for name in self.classes)
        return distinct(len(self.classes))

    def _of_ids(self) -> dict[int, int]:
        """Empty where nothing is mapped. Where `ids` gives names it is all there is; else other ids mean themselves."""
        ignored = {one: self.ignore_index for one in self.ignore if isinstance(one, int)}
        given = {stored: self._number(value) for stored, value in (self.ids or {}).items()}
        if not given and not ignored:
            return {}
        named = any(isinstance(value, str) for value in (self.ids or {}).values())
        themselves = () if named else range(len(self.classes))
        return {number: number for number in (*themselves, self.ignore_index)} | given | ignored

    def _of_colours(self) -> dict[Colour, int]:
        ignored = {one: self.ignore_index for one in self.ignore if isinstance(one, tuple)}
        colours = (self.colours or {}).items()
        return {colour: self._number(name) for name, several in colours for colour in several} | ignored

    def _number(self, value: int | str) -> int:
        if isinstance(value, int):
            return value
        return self.classes.index(value) if value in self.classes else self.ignore_index

    @property
    def _ignored_names(self) -> list[str]:
        return [one for one in self.ignore if isinstance(one, str)]

    @field_validator("classes", mode="before")
    @classmethod
    def _by_id(cls, classes: Any) -> Any:
        """`{0: road, 1: sky}` in the order of its ids."""
        if not isinstance(classes, Mapping):
            return classes
        if sorted(map(str, classes)) != sorted(map(str, range(len(classes)))):
            raise ValueError(
                f"classes must name each id from 0 to {len(classes) - 1} once, got {', '.join(map(str, classes))}."
            )
        by_id = {str(number): name for number, name in classes.items()}
        return [by_id[str(number)] for number in range(len(classes))]

    @field_validator("colours", mode="before")
    @classmethod
    def _one_or_several(cls, colours: Any) -> Any:
        """`road: [128, 64, 128]` as `road: [[128, 64, 128]]`."""
        if not isinstance(colours, Mapping):
            return colours
        for name, value in colours.items():
            if not isinstance(value, list) or not value:
                raise ValueError(f"colours.{name} must be a colour such as [128, 64, 128], or a list of such.")
        return {name: value if isinstance(value[0], list) else [value] for name, value in colours.items()}

    @field_validator("ignore", mode="before")
    @classmethod
    def _some(cls, ignore: Any) -> Any:
        for one in ignore if isinstance(ignore, list) else [ignore]:
            colour = isinstance(one, list) and len(one) == 3 and all(_within(part, 255) for part in one)
            if not (colour or isinstance(one, str) or _within(one, MOST_ID)):
                raise ValueError(
                    f"ignore must list ids (0-{MOST_ID}), colours such as [0, 0, 0] or names of `colours` or `ids`, "
                    f"got {one!r}."
                )
        return ignore if isinstance(ignore, list) else [ignore]

    @model_validator(mode="after")
    def _classes_of_the_table(self) -> Meaning:
        if not self.classes:
            named = self.colours or [value for value in (self.ids or {}).values() if isinstance(value, str)]
            self.classes = tuple(name for name in dict.fromkeys(named) if name not in self.ignore)
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Meaning:
        count = len(self.classes)
        if not 1 <= count <= _MOST_CLASSES:
            raise ValueError(f"classes must name 1 to {_MOST_CLASSES} classes, got {count}.")
        if not all(name.strip() for name in self.classes):
            raise ValueError(f"classes must have a name each, got {', '.join(map(repr, self.classes))}.")
        if len(set(self.classes)) < count:
            raise ValueError(f"classes must have different names, got {', '.join(self.classes)}.")
        if self.palette is not None and len(self.palette) != count:
            raise ValueError(f"palette must hold one colour for each of the {count} classes, got {len(self.palette)}.")
        if not count <= self.ignore_index <= 255:
            rule = f"outside the class ids (0-{count - 1}) and at most 255"
            raise ValueError(f"ignore_index must be {rule}, got {self.ignore_index}.")
        return self

    @model_validator(mode="after")
    def _ids_fit(self) -> Meaning:
        last = len(self.classes) - 1
        for stored, value in (self.ids or {}).items():
            if isinstance(value, str):
                self._known(value, "ids")
            elif value not in (*range(last + 1), self.ignore_index):
                rule = f"a class id (0-{last}) or ignore_index ({self.ignore_index})"
                raise ValueError(f"ids must map {stored} to {rule}, got {value}.")
            if stored in self.ignore:
                raise ValueError(f"ignore names id {stored}, which ids maps to {value}. Keep one of them.")
        return self

    @model_validator(mode="after")
    def _colours_fit(self) -> Meaning:
        if self.colours is None:
            if colour := next((one for one in self.ignore if isinstance(one, tuple)), None):
                raise ValueError(f"ignore names the colour {shown(colour)}, but there are no `colours`. Add them.")
            return self
        if self.ids is not None:
            raise ValueError("dataset.yaml has both ids and colours: masks hold one of them. Remove the other.")
        if (number := next((one for one in self.ignore if isinstance(one, int)), None)) is not None:
            raise ValueError(f"ignore names id {number}, but `colours` says that masks hold colours. Give its colour.")
        if missing := [name for name in self.classes if name not in self.colours]:
            raise ValueError(f"colours must name a colour of each class, missing: {', '.join(missing)}.")
        for name in self.colours:
            self._known(name, "colours")
        self._colours_differ(self.colours)
        return self

    def _colours_differ(self, colours: Mapping[str, tuple[Colour, ...]]) -> None:
        ignored = [one for one in self.ignore if isinstance(one, tuple)]
        named = [*((colour, name) for name, several in colours.items() for colour in several)]
        first: dict[Colour, str] = {}
        for colour, name in [*named, *((one, "ignore") for one in ignored)]:
            if first.setdefault(colour, name) != name:
                raise ValueError(f"colours must differ: {shown(colour)} is of {first[colour]} and of {name}.")

    @model_validator(mode="after")
    def _ignored_fit(self) -> Meaning:
        used = {*(self.colours or {}), *(value for value in (self.ids or {}).values() if isinstance(value, str))}
        for name in self._ignored_names:
            if name in self.classes:
                raise ValueError(f"ignore names {name}, which is a class. Take it out of classes, or out of ignore.")
            if not used:
                raise ValueError(f"ignore names {name!r}, but there are no names in `colours` or `ids`. Give an id.")
            if name not in used:
                raise ValueError(unknown("name in ignore", name, used, "It may hold names of `colours` or `ids`."))
        return self

    def _known(self, name: str, field: str) -> None:
        if name not in self.classes and name not in self.ignore:
            raise ValueError(unknown(f"class in {field}", name, self.classes, "Or name it under `ignore`."))


def _within(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def with_names(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """What dataset.yaml holds, names as they are written: one may be `no`, `1` or a date."""
    given = dict(values)
    if (key := "classes" if "classes" in values else "names") in values:
        given["classes"] = as_written(path, key)
    colours, ids, ignore = (values.get(key) for key in ("colours", "ids", "ignore"))
    if isinstance(colours, Mapping):
        given["colours"] = dict(zip(_texts(colours, as_written(path, "colours")), colours.values(), strict=True))
    if isinstance(ids, Mapping):
        written = as_written(path, "ids")
        given["ids"] = dict(zip(ids, _names(list(ids.values()), list(written.values())), strict=True))
    if isinstance(ignore, list):
        given["ignore"] = _names(ignore, as_written(path, "ignore"))
    return given


def _texts(values: Collection[Any], written: Collection[Any]) -> list[Any]:
    """As they are written, unless a merge (`<<`) has made other ones of them."""
    return list(written if len(written) == len(values) else values)


def _names(values: list[Any], written: list[Any]) -> list[Any]:
    """Numbers and lists as they are, anything else as its text."""
    pairs = zip(values, _texts(values, written), strict=True)
    return [value if type(value) is int or isinstance(value, list) else text for value, text in pairs]
