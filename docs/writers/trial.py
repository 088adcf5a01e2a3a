"""The fields of a trial, from TrialConfig: type, range, unit, default and the condition under which it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainables.conditions import METHODS, OWN
from trainables.config import TrialConfig
from trainables.digested import SPEED
from trainables.recipe import Recipe
from writers import fields
from writers.words import NONE, escaped, listed, table


def recipe() -> str:
    """How one network is trained."""
    return _table(lambda name: name in Recipe.model_fields)


def what() -> str:
    """What is trained, on what, and how it is scored."""
    return _table(lambda name: not (name in Recipe.model_fields or name in SPEED or _of_some_methods(name)))


def methods() -> str:
    """What only some methods read."""
    return _table(lambda name: _of_some_methods(name) and name not in SPEED)


def speed() -> str:
    """How a trial is computed."""
    return _table(SPEED.__contains__)


def unit_of(name: str) -> str:
    """The unit that a field states, "1" for a plain number; empty: none is stated."""
    extra = TrialConfig.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    return str(extra["unit"])


def condition(name: str) -> str:
    """`method` is kd or heteroakd; `kem` is true; or `method` is skd."""
    ways = (
        "; ".join(f"`{other}` is {_values(other, values)}" for other, values in way.items())
        for way in TrialConfig.alternatives(name)
    )
    return "; or ".join(way for way in ways if way)


def _kind(name: str) -> str:
    if name == "method":
        return listed((*(f"`{method}`" for method in METHODS), "your own"), "or")
    return fields.kind(TrialConfig.model_fields[name])


def _values(other: str, values: tuple[Any, ...]) -> str:
    if other == "method":
        known = (*METHODS, OWN)
        others = [name for name in known if name not in values]
        if len(others) < len(values):
            return f"not {listed(others, 'or')}"
        return listed(("your own" if name == OWN else name for name in values), "or")
    return listed(("none" if value is None else str(value).lower() for value in values), "or")


def _of_some_methods(name: str) -> bool:
    """Whether fewer than all methods that have a teacher read it."""
    methods = TrialConfig.conditions(name).get("method", ())
    return 0 < len(methods) < len(TrialConfig.conditions("fold_teacher")["method"])


def _table(wanted: Callable[[str], bool]) -> str:
    return table(
        ("field", "default", "type and range", "unit", "read when", "what it is"),
        (
            (
                f"`{name}`",
                fields.default(field),
                _kind(name),
                fields.unit(unit_of(name)),
                condition(name) or NONE,
                escaped(field.description or ""),
            )
            for name, field in TrialConfig.model_fields.items()
            if wanted(name)
        ),
    )
