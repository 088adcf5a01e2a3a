"""A preset by its name on the command line."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces import PRESETS
from search_spaces.space import SearchSpace
from trainables.errors import ConfigError, unknown
from trainables.published import published


@dataclass(frozen=True)
class Preset:
    """A ready search: what varies, what is fixed, which (partial) params the sweep tries first, and how long it is.

    Attributes:
        study: other fields of a StudySpec, below those that the user gives.
    """

    name: str
    doc: str
    space: SearchSpace
    base: Mapping[str, Any]
    enqueue: tuple[Mapping[str, Any], ...]
    study: Mapping[str, Any]

    def points(self, fixed: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        """`enqueue`, with the weights that the sources have under the point's method and on the data of a study.

        Args:
            fixed: the study's own base.
        """
        base = {**self.base, **fixed}
        data = str(base.get("data", ""))
        found = []
        for point in self.enqueue:
            known = published(str(point.get("method", base.get("method", ""))), data)
            found.append({name: known.get(name, value) for name, value in point.items()})
        return tuple(found)


def load(name: str) -> Preset:
    """Read search_spaces/<name>.py (its hyphens as underscores); nothing outside PRESETS is imported.

    Raises:
        ConfigError: no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(unknown("preset", name, PRESETS, f"Presets: {', '.join(PRESETS)}."))
    module = importlib.import_module(f"search_spaces.{name.replace('-', '_')}")
    return Preset(
        name,
        (module.__doc__ or "").strip(),
        module.SPACE,
        dict(module.BASE),
        tuple(module.ENQUEUE),
        dict(getattr(module, "STUDY", {})),
    )
