"""When a dimension is read, and in how much of the search space, as far as the trials show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from dashboards.frames import PARAM

_METHOD = "method"  # may decide without being a dimension


@dataclass(frozen=True)
class Condition:
    """Attributes:
    text: in words, such as "projector_depth = 2 or 3"; "" when all trials read it.
    needs: other dimension -> its values, as texts, under which this one is read, and all that it has; those that decide
        whether the other one is read are among them.
    seen: share of the trials that read it, where nothing was found that decides.
    """

    text: str = ""
    needs: Mapping[str, tuple[frozenset[str], frozenset[str]]] = field(default_factory=dict)
    seen: float = 1.0


def find(search: pd.DataFrame, names: Sequence[str], deciding: Iterable[str]) -> dict[str, Condition]:
    """The condition of each dimension.

    Args:
        search: search trials, columns `param.<dimension>` and maybe `method`.
        names: the dimensions.
        deciding: those of few values, which others can hang on.
    """
    columns = {name: search[PARAM + name] for name in deciding}
    if _METHOD in search and _METHOD not in columns:
        columns[_METHOD] = search[_METHOD]
    parents = {name: column.map(text_of, na_action="ignore") for name, column in columns.items()}
    found: dict[str, Condition] = {}
    for name in sorted(names, key=lambda name: -search[PARAM + name].notna().sum()):  # a parent before its children
        found[name] = _of(name, search[PARAM + name].notna(), parents, found)
    return found


def _of(name: str, has: pd.Series, parents: Mapping[str, pd.Series], found: Mapping[str, Condition]) -> Condition:
    if has.all():
        return Condition()
    for parent, values in parents.items():
        if parent == name:
            continue
        inside, outside = frozenset(values[has].dropna()), frozenset(values[~has].dropna())
        if inside and outside and not inside & outside and values[has].notna().all():
            above = found[parent].needs if parent in found else {}
            text = f"{parent} = {_either(sorted(inside))}"
            return Condition(text, {**above, parent: (inside, inside | outside)})
    return Condition("trials that have it", seen=float(has.mean()))


def share(conditions: Iterable[Condition]) -> float:
    """In how much of the space all of these hold; where nothing was found that decides, by chance of one another."""
    each = list(conditions)
    needs: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    for condition in each:
        for parent, (inside, every) in condition.needs.items():
            before = needs.get(parent, (inside, every))
            needs[parent] = (before[0] & inside, before[1] | every)
    part = 1.0
    for inside, every in needs.values():
        part *= len(inside) / len(every)
    for condition in each:
        part *= condition.seen
    return part


def text_of(value: object) -> str:
    """A value as conditions name it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _either(values: list[str]) -> str:
    *others, last = values
    return f"{', '.join(others)} or {last}" if others else last
