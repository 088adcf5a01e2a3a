"""A preset by its name on the command line."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces import PRESETS
from search_spaces.space import SearchSpace
from trainables.errors import ConfigError, unknown


@dataclass(frozen=True)
class Preset:
    """A ready search: what varies, what is fixed, and which (partial) params the sweep tries first."""

    name: str
    doc: str
    space: SearchSpace
    base: Mapping[str, Any]
    enqueue: tuple[Mapping[str, Any], ...]


def load(name: str) -> Preset:
    """Read search_spaces/<name>.py; nothing outside PRESETS is imported.

    Raises:
        ConfigError: no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(unknown("preset", name, PRESETS, f"Presets: {', '.join(PRESETS)}."))
    module = importlib.import_module(f"search_spaces.{name}")
    return Preset(name, (module.__doc__ or "").strip(), module.SPACE, dict(module.BASE), tuple(module.ENQUEUE))
