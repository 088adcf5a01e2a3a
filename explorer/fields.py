"""What `--set FIELD=VALUE` says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from trainables.errors import ConfigError
from trainables.yamls import KeyTwice, parse_yaml


def assigned(assignments: Iterable[str]) -> dict[str, Any]:
    """`lr=0.002` -> {"lr": 0.002}, values read as YAML.

    Raises:
        ConfigError: no `=`, or a value that is no YAML.
    """
    fields = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set needs FIELD=VALUE, got {assignment!r}.")
        try:
            fields[name] = parse_yaml(value)
        except KeyTwice as error:
            raise ConfigError(f"--set {name} {error}") from None
        except yaml.YAMLError:
            raise ConfigError(f"--set {name} needs a YAML value, got {value!r}. Quote a text: '...'.") from None
    return fields
