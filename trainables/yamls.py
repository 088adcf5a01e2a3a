"""YAML as all of the product reads it: UTF-8, no objects constructed, no key of a mapping twice."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from trainables.errors import ConfigError

_MERGE = "tag:yaml.org,2002:merge"


def load_yaml(path: Path) -> dict[str, Any]:
    """A file that holds a mapping.

    Raises:
        ConfigError: no such file, not YAML, not a mapping, or a key that stands twice in one.
    """
    try:
        values = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except KeyTwice as error:
        raise ConfigError(f"{path} {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a mapping of fields to values, got {type(values).__name__}.")
    return values


def as_written(path: Path, key: str) -> Any:
    """What a file that `load_yaml` has read holds under a key, scalars as their text: `no`, `1`, `2024-01-01`."""
    return yaml.load(path.read_text(encoding="utf-8-sig"), yaml.BaseLoader)[key]


def parse_yaml(text: str) -> Any:
    """A value.

    Raises:
        KeyTwice: a mapping has a key twice.
        YAMLError: not YAML.
    """
    return yaml.load(text, _Loader)


class KeyTwice(yaml.YAMLError):
    """The sentence goes on from the name of what was read."""


class _Loader(yaml.SafeLoader):
    """Looks at mappings before `<<` is resolved: what overrides a merged key is no repetition."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        assert node is not None
        lines: dict[Hashable, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # refused when the mapping is constructed
            value = "<<" if key.tag == _MERGE else self.construct_object(key)
            line = key.start_mark.line + 1
            if value in lines:
                raise KeyTwice(f"has the key {value!r} twice, on line {lines[value]} and on line {line}. Keep one.")
            lines[value] = line
        return node
