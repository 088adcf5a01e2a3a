"""A field of a pydantic model in words: type and range, default."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from typing import Any, Literal, Union

from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from writers.words import NONE, listed

_SIMPLE = {int: "whole number", float: "number", bool: "true or false", str: "text", Any: "anything"}


def kind(field: FieldInfo) -> str:
    """Type and range: `number, above 0, to 10`, `8, 16 or 32`."""
    ends = _range(field.metadata)
    return f"{type_of(field.annotation)}{', ' if ends else ''}{ends}"


def type_of(annotation: Any) -> str:
    """A type in words."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    if origin is Literal:
        return listed((_code(value) for value in _choices(annotation)), "or")
    if origin in (Union, types.UnionType):
        return listed(("none" if part is type(None) else type_of(part) for part in inner), "or")
    if origin is list:
        return f"list of: {type_of(inner[0])}"
    if origin is dict:
        return (
            f"mapping to: {type_of(inner[1])}" if inner[0] is str else f"mapping from {type_of(inner[0])} to a number"
        )
    assert issubclass(annotation, BaseModel), annotation
    return f"the fields of {annotation.__name__}"


def is_number(annotation: Any) -> bool:
    """Whether a field holds a number, or several, or none."""
    parts = [part for part in (typing.get_args(annotation) or (annotation,)) if part is not type(None)]
    return all(type(part) is int or part in (int, float) for part in parts)


def default(field: FieldInfo) -> str:
    """The default in code; `none` and what is empty as such."""
    value = field.default
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        return "their defaults"
    if value in ({}, []):
        return "empty"
    return _code(value)


def unit(name: str) -> str:
    """A unit as the page shows it."""
    return NONE if name in ("", "1") else name


def _choices(annotation: Any) -> Iterable[Any]:
    return typing.get_args(annotation)


def _code(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:.4g}`" if value < 1e4 else f"`{value:.0f}`"
    return f"`{value}`".replace("'", "")


def _range(metadata: Iterable[Any]) -> str:
    found = {type(one): one for one in metadata}
    low, high = "", ""
    if Ge in found:
        low = f"{_number(found[Ge].ge)}"
    if Gt in found:
        low = f"above {_number(found[Gt].gt)}"
    if Le in found:
        high = f"to {_number(found[Le].le)}"
    if Lt in found:
        high = f"to below {_number(found[Lt].lt)}"
    text = " ".join(part for part in (low, high) if part) if high else (f"{low} or more" if Ge in found else low)
    return f"{text}, a multiple of {found[MultipleOf].multiple_of}" if MultipleOf in found else text


def _number(value: Any) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"
