"""A preset below the values that a user gives: which of its space, base and points stay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from search_spaces import preset
from search_spaces.space import BY_FAMILY, SearchSpace


def filled(values: dict[str, Any], known: preset.Preset) -> dict[str, Any]:
    """A preset below the values given: fixing a field takes it out of the preset's space, and a pair its networks."""
    fixed = values.get("base") or {}
    replaced = {*fixed, *({"teacher", "student"} if "pair" in fixed else ())}
    if replaced & {"teacher", "student"}:
        replaced.add("pair")
    space = {name: form for name, form in known.space.to_dict().items() if name not in replaced}
    base = {name: value for name, value in known.base.items() if name not in replaced}
    if recipes := base.get(BY_FAMILY):  # they go over the fixed fields
        base[BY_FAMILY] = {
            kind: {name: value for name, value in recipe.items() if name not in replaced}
            for kind, recipe in recipes.items()
        }
    if fixed:  # a fixed method reads no other's dimensions
        space = SearchSpace.from_dict(space).readable({**base, **fixed}).to_dict()
    length = {name: value for name, value in known.study.items() if name != "balance" or value in space}
    whole = {"name": known.name, "space": space, **length, **values, "base": {**base, **fixed}}
    return {"enqueue": _fitting(known.points(fixed), whole["space"]), **whole}


def _fitting(points: Iterable[Mapping[str, Any]], space: Any) -> list[dict[str, Any]]:
    """A preset's points as far as they lie in a space, each once."""
    searched = SearchSpace.from_dict(space) if isinstance(space, dict) else SearchSpace({})
    fitting: list[dict[str, Any]] = []
    for params in points:
        point = {name: value for name, value in params.items() if name in searched.dimensions}
        inside = all(contains(searched, name, value) for name, value in point.items())
        if point and inside and point not in fitting:
            fitting.append(point)
    return fitting


def contains(space: SearchSpace, name: str, value: Any) -> bool:
    """Whether a dimension of the space has this value."""
    distribution = space.dimensions[name]
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:
        return False
