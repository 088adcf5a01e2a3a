"""When a dimension is read, as far as the trials show it."""

from __future__ import annotations

import pandas as pd

from dashboards.frames import PARAM

ALWAYS = ("", 1.0)
_FEW = 12  # values of a dimension that others can hang on


def condition(search: pd.DataFrame, name: str, parents: list[str]) -> tuple[str, float]:
    """What trials that have a dimension share and others lack.

    Args:
        search: search trials, columns `param.<dimension>` and maybe `method`.
        name: the dimension.
        parents: other dimensions that it may hang on.

    Returns:
        In words, such as "projector_depth = 2 or 3", "" when all trials have it; and the share in [0, 1] of the space
        that has it: of the parent's values, where a parent is found.
    """
    has = search[PARAM + name].notna()
    if has.all():
        return ALWAYS
    found = {name: PARAM + name for name in parents} | {"method": "method"}
    for parent, column in found.items():
        if parent == name or column not in search or search[column].isna().any():
            continue
        values = search[column].map(_text)
        inside, outside = set(values[has]), set(values[~has])
        if inside and len(inside) + len(outside) <= _FEW and inside.isdisjoint(outside):
            return f"{parent} = {_either(sorted(inside))}", len(inside) / (len(inside) + len(outside))
    return "trials that have it", float(has.mean())


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _either(values: list[str]) -> str:
    *others, last = values
    return f"{', '.join(others)} or {last}" if others else last
