"""How a field of a trial is declared: default, description, unit, range, and when it is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

Conditions = dict[str, Any]
"""Other field -> the values under which this one is read; all must hold."""


def read(
    default: Any, doc: str, /, *, unit: str = "", when: Conditions | Sequence[Conditions] = (), **limits: Any
) -> Any:
    """A field with its description.

    Args:
        unit: a number's, "1" if it has none; the reference (docs/reference/trial.md) shows both.
        when: the conditions under which a trial reads it; of several, one must hold; empty: it always does.
    """
    ways: Any = [when] if isinstance(when, dict) else list(when) or [{}]
    return Field(default, description=doc, json_schema_extra={"when": ways, "unit": unit}, **limits)


def under(*names: str) -> Conditions:
    """That the method is one of these."""
    return {"method": names}


def weight(default: float, doc: str, /, *methods: str, when: Sequence[Conditions] = ()) -> Any:
    """The weight of a term, under the methods that have it, or `when`."""
    return read(default, f"Weight of {doc}.", unit="1", ge=0, le=1e6, when=when or under(*methods))
