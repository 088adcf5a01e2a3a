"""What a caller gives, in any form, as a StudySpec, a TrialConfig or a path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from trainables.errors import ConfigError, unknown

if TYPE_CHECKING:
    from explorer.study import StudySpec
    from trainables.config import TrialConfig

_YAML = (".yaml", ".yml")


def study_spec(
    given: str | PurePath | Mapping[str, Any] | StudySpec,
    *,
    base: Mapping[str, Any] | None,
    set: Mapping[str, Any] | None,
    overrides: Mapping[str, Any],
) -> StudySpec:
    """A spec with changes.

    Args:
        given: a preset's name, the path of a YAML file, a mapping, or a spec.
        base, set: fields of the trial, over the spec's `base`.
        overrides: fields of the spec or of the trial, by name. The order of precedence: set, overrides, base, the spec.

    Raises:
        ConfigError: one sentence for each wrong field.
    """
    from explorer.study import StudySpec

    values, where = _values(given)
    ours, theirs = _told_apart(overrides)
    fixed = [_mapping("base", values.get("base")), _mapping("base", base), theirs, _mapping("set", set)]
    whole = {**values, **ours, "base": {name: value for part in fixed for name, value in part.items()}}
    return StudySpec.parse(plain(whole), where=where)


def trial_config(given: str | PurePath | Mapping[str, Any] | TrialConfig) -> TrialConfig:
    """A trial's config: a path of a YAML file such as an exported best.yaml, a mapping, or the config itself.

    Raises:
        ConfigError: no such file, or a wrong field.
    """
    from trainables.config import TrialConfig, with_teacher_recipe
    from trainables.published import with_data_defaults

    if isinstance(given, TrialConfig):
        return given
    if isinstance(given, Mapping):
        return TrialConfig.parse(with_teacher_recipe(with_data_defaults(plain(given))))
    return TrialConfig.load(path(given))


def path(given: str | os.PathLike[str]) -> Path:
    """`~` stands for the home folder."""
    return Path(given).expanduser()


def plain(value: Any) -> Any:
    """A value as YAML has it: NumPy's numbers, paths, tuples and ranges are what people write in Python."""
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple, range, set, frozenset)):
        return [plain(entry) for entry in value]
    if isinstance(value, PurePath):
        return str(value)
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


def _values(given: Any) -> tuple[dict[str, Any], str]:
    """A spec's fields as far as they are given, and what to say in front of what is wrong with them."""
    from explorer.study import StudySpec
    from search_spaces import PRESETS
    from trainables.yamls import load_yaml

    if isinstance(given, StudySpec):
        return given.model_dump(exclude_unset=True), ""
    if isinstance(given, Mapping):
        return dict(given), ""
    if isinstance(given, PurePath) or (isinstance(given, str) and given not in PRESETS and _is_file(given)):
        return load_yaml(path(given)), f"{given}: "
    if isinstance(given, str):
        return {"preset": given}, ""
    raise ConfigError(
        f"A spec must be a preset's name, the path of a YAML file, a mapping or a StudySpec, got {given!r}."
    )


def _is_file(name: str) -> bool:
    return name.endswith(_YAML) or os.sep in name or Path(name).is_file()


def _told_apart(overrides: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those of the spec, and those of the trial: no name is both."""
    from explorer.study import StudySpec
    from trainables.conditions import OWN_PREFIX
    from trainables.config import TrialConfig

    of_spec, of_trial = StudySpec.model_fields, {*TrialConfig.model_fields, "pair"}
    for name in overrides:
        if name not in of_spec and name not in of_trial and not name.startswith(OWN_PREFIX):
            raise ConfigError(unknown("field", name, {*of_spec, *of_trial}))
    ours = {name: value for name, value in overrides.items() if name in of_spec}
    return ours, {name: value for name, value in overrides.items() if name not in of_spec}


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} must be a mapping of fields to values, got {value!r}.")
    return value
