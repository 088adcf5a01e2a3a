"""One dimension: its YAML form, its Optuna distribution, and the values it can take."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Generic, TypeVar, get_args

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator
from typing_extensions import Self

from trainables.conditions import OWN_PREFIX
from trainables.config import TrialConfig
from trainables.errors import ConfigError, from_validation

Number = TypeVar("Number", int, float)


class Range(BaseModel, Generic[Number]):
    """`{low: 0.01, high: 10, log: true}`: both ends included; `step` counts from low."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: Number
    high: Number
    log: bool = False
    step: Number | None = None

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low must be <= high ({self.high}), got {self.low}.")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be > 0 with log, got {self.low}.")
        if self.step is None:
            return self
        if self.log:
            raise ValueError(f"step cannot go with log, got {self.step}; remove one of them.")
        if self.step <= 0:
            raise ValueError(f"step must be > 0, got {self.step}.")
        if (Decimal(str(self.high)) - Decimal(str(self.low))) % Decimal(str(self.step)):
            raise ValueError(f"step must divide high - low ({self.low} to {self.high}), got {self.step}.")
        return self


def parse(name: str, form: Any) -> BaseDistribution:
    """A distribution from its YAML form: a list of choices, or a range of a numeric field.

    Raises:
        ConfigError: an empty list, a choice twice, an unknown key, a range of a field that has none, or unsound ends.
    """
    if isinstance(form, (list, tuple)):
        return _categorical(name, list(form))
    if not isinstance(form, Mapping):
        raise ConfigError(f"{name} must be a list of choices or a range {{low, high}}, got {form!r}.")
    number = _own_number(form) if name.startswith(OWN_PREFIX) else _number(name)
    if number is None:
        raise ConfigError(f"{name} has no range, got {dict(form)!r}: give a list of choices.")
    try:
        return _distribution(number, form)
    except ValidationError as error:
        raise from_validation(error, known=Range.model_fields, where=f"{name}: ") from None


def form(distribution: BaseDistribution) -> Any:
    """The YAML form that `parse` turns into `distribution`."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    written: dict[str, Any] = {"low": distribution.low, "high": distribution.high}
    if distribution.log:
        written["log"] = True
    if distribution.step != (1 if isinstance(distribution, IntDistribution) else None):
        written["step"] = distribution.step
    return written


def suggest(trial: optuna.trial.Trial, name: str, distribution: BaseDistribution) -> Any:
    """Ask the trial's sampler for a value."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def probes(distribution: BaseDistribution) -> tuple[Any, ...]:
    """Values whose validity implies that of all: every choice, or both ends and low's neighbour on the grid."""
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    if distribution.step is None or distribution.single():
        return (distribution.low, distribution.high)
    return (distribution.low, distribution.low + distribution.step, distribution.high)


def values(distribution: BaseDistribution) -> tuple[Any, ...]:
    """Every value of a list or of a whole-number range; of a real range, its ends."""
    if isinstance(distribution, IntDistribution):
        return tuple(range(distribution.low, distribution.high + 1, distribution.step))
    return probes(distribution)


def _number(name: str) -> type[int] | type[float] | None:
    """The type of a field that has a range; an optional one is a range of its numbers."""
    if name not in TrialConfig.model_fields:
        return None
    annotation = TrialConfig.model_fields[name].annotation
    kinds = {annotation, *get_args(annotation)}
    return int if int in kinds else float if float in kinds else None


def _own_number(form: Mapping[str, Any]) -> type[int] | type[float]:
    """The type of an entry of `own`, which no field declares: whole numbers throughout, or real ones."""
    written = [value for name, value in form.items() if name in ("low", "high", "step")]
    return int if all(isinstance(value, int) for value in written) else float


def _distribution(number: type[int] | type[float], form: Mapping[str, Any]) -> BaseDistribution:
    if number is int:
        whole = Range[int].model_validate(dict(form))
        return IntDistribution(whole.low, whole.high, log=whole.log, step=1 if whole.step is None else whole.step)
    real = Range[float].model_validate(dict(form))
    return FloatDistribution(real.low, real.high, log=real.log, step=real.step)


def _categorical(name: str, choices: list[Any]) -> CategoricalDistribution:
    if not choices:
        raise ConfigError(f"{name} must have at least one choice, got an empty list.")
    for choice in choices:
        if choice is not None and not isinstance(choice, (bool, int, float, str)):
            raise ConfigError(f"{name}: a choice must be a number, a text, a truth value or null, got {choice!r}.")
    typed = [_typed(name, choice) for choice in choices]
    for choice in typed:
        if typed.count(choice) > 1:
            raise ConfigError(f"{name}: every choice must be listed once, got {choice!r} {typed.count(choice)} times.")
    return CategoricalDistribution(typed)


def _typed(name: str, choice: Any) -> Any:
    """The choice in its field's type (YAML reads 1e-3 as a text); `SearchSpace.check` refuses one that does not fit."""
    if name not in TrialConfig.model_fields:
        return choice
    annotation: Any = TrialConfig.model_fields[name].annotation
    try:
        return TypeAdapter(annotation).validate_python(choice)
    except ValidationError:
        return choice
