"""SearchSpace: which fields of a trial vary, over what; checked against TrialConfig before any worker starts.

A dimension is a field of TrialConfig, an entry of its `own` (`own.alpha`), or `pair`, which stands for `teacher` and
`student` together. When a dimension is read is known to TrialConfig alone: a dimension that a trial would not read is
not suggested to it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, distribution_to_json, json_to_distribution
from pydantic import BaseModel

from search_spaces import dimension
from search_spaces.pairs import Family, family, network_model, resolve_pair
from trainables.conditions import OWN_PREFIX, as_condition
from trainables.config import TrialConfig, digest
from trainables.errors import ConfigError, unknown
from trainables.recipe import Recipe
from trainables.sources import is_ready

_MAPPINGS = ("own", "teacher_classes", "teacher_synonyms")
_NESTED = {
    name
    for name, field in TrialConfig.model_fields.items()
    if name in _MAPPINGS or (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
}
NAMES = ("pair", *(name for name in TrialConfig.model_fields if name not in _NESTED))
_Way = dict[str, tuple[Any, ...]]
"""Conditions that must all hold: other field -> its values."""
BY_FAMILY = "by_family"
"""A key of `base` beside the fields: family -> fields of a recipe."""
BY_TEACHER = ("teacher_weights", "teacher_classes", "teacher_synonyms")
"""Keys of `base` that may map teachers to what each of them has; `teacher_weights` becomes `teacher_checkpoint`."""
_SHARED = ("steps", "batch_size", "crop_height", "crop_width", "seed", "num_threads")  # what trials are compared at


@dataclass(frozen=True)
class SearchSpace:
    """Ordered dimensions: name -> distribution. `base` in the methods below: the fields that are fixed.

    Raises:
        ConfigError: a name that is neither `pair` nor a plain field of TrialConfig.
    """

    dimensions: Mapping[str, BaseDistribution]

    def __post_init__(self) -> None:
        _refuse_unknown(self.dimensions)

    @classmethod
    def from_dict(cls, forms: Mapping[str, Any]) -> SearchSpace:
        """Read the YAML form: `{pair: [a, b], lambda_kd: {low: 0.01, high: 10, log: true}, kem: [true, false]}`.

        Raises:
            ConfigError: an unknown field or key, an empty list, a choice twice, or ends that are no range.
        """
        _refuse_unknown(forms)
        return cls({name: dimension.parse(name, form) for name, form in forms.items()})

    def to_dict(self) -> dict[str, Any]:
        """The YAML form; `from_dict` gives back an equal space in the same order."""
        return {name: dimension.form(distribution) for name, distribution in self.dimensions.items()}

    @classmethod
    def from_json(cls, text: str) -> SearchSpace:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: the text is something else.
        """
        try:
            forms = json.loads(text)
            return cls({name: json_to_distribution(json.dumps(form)) for name, form in forms.items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"A stored search space must be what to_json wrote ({error}), got {text[:80]!r}."
            ) from None

    @property
    def is_finite(self) -> bool:
        """Whether every dimension is a list or a range of whole numbers, so that proposals repeat themselves."""
        return not any(isinstance(kind, FloatDistribution) and kind.step is None for kind in self.dimensions.values())

    def to_json(self) -> str:
        """The dimensions, in order, as Optuna writes distributions."""
        return json.dumps(self._stored())

    def digest(self) -> str:
        """Content hash, equal for spaces that can share a storage.

        The order of dimensions does not count; the order of choices does, because Optuna stores a choice by its place.
        """
        return digest(self._stored())

    def check(self, base: Mapping[str, Any]) -> None:
        """Refuse a space that would waste or fail a trial.

        Raises:
            ConfigError: a bound or choice that TrialConfig refuses, a pair that is in no table, a dimension that is
                also fixed, a dimension that no trial can read, or `pair` beside what it stands for.
        """
        _expand(base)
        self._check_names(base)
        for params in self._corners():
            self.config(params, base)
        for name in self.dimensions:
            self._check_read(name, base)

    def suggest(self, trial: optuna.trial.Trial, base: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for the dimensions this trial reads, those that decide about others first."""
        fixed = TrialConfig.parse(_expand(base))
        params: dict[str, Any] = {}
        for name in self._ordered():
            read = (
                all(as_condition(params.get(field, getattr(fixed, field))) in values for field, values in way.items())
                for way in _alternatives(name)
            )
            if any(read):
                params[name] = dimension.suggest(trial, name, self.dimensions[name])
        return params

    def config(self, params: Mapping[str, Any], base: Mapping[str, Any]) -> TrialConfig:
        """The trial of these params; `pair` becomes teacher and student.

        Raises:
            ConfigError: an unknown pair, or a field that TrialConfig refuses.
        """
        return TrialConfig.parse(_expand({**base, **params}))

    def students(self, base: Mapping[str, Any]) -> tuple[str, ...]:
        """The student models that trials can have."""
        if "pair" in self.dimensions:
            return _unique(student for _, student in self.pairs(base))
        return _unique(self.values("student", base))

    def alone(self, base: Mapping[str, Any]) -> tuple[str, ...]:
        """The models that gains are measured of: the students, and where two learn together, the other one too."""
        if "collaborative" not in self.values("method", base):
            return self.students(base)
        return _unique((*self.students(base), *(peer for peer, _ in self.pairs(base))))

    def pairs(self, base: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        """The (teacher, student) models that trials can have; none when no trial distils."""
        if not self._can_read("teacher", base):
            return ()
        if "pair" in self.dimensions:
            resolved = (resolve_pair(name) for name in self.values("pair", base))
            return _unique((pair.teacher.model, pair.student.model) for pair in resolved)
        return _unique(itertools.product(self.values("teacher", base), self.values("student", base)))

    def values(self, field: str, base: Mapping[str, Any]) -> tuple[Any, ...]:
        """What trials have in a field: all values of a dimension with few, else the fixed one."""
        if field in self.dimensions:
            return dimension.values(self.dimensions[field])
        return (getattr(TrialConfig.parse(_expand(base)), field),)

    def task_space(self, base: Mapping[str, Any]) -> SearchSpace:
        """What the matched baseline, a student without a teacher, can vary: no pair, teacher, student or method."""
        others = {name: value for name, value in self.dimensions.items() if name not in ("pair", "student", "method")}
        return SearchSpace(others).readable({**base, "method": "task"})

    def readable(self, base: Mapping[str, Any]) -> SearchSpace:
        """The dimensions that some trial can read."""
        return SearchSpace({name: value for name, value in self.dimensions.items() if self._can_read(name, base)})

    def _stored(self) -> dict[str, Any]:
        return {name: json.loads(distribution_to_json(value)) for name, value in self.dimensions.items()}

    def _ordered(self) -> tuple[str, ...]:
        """The dimensions, each after the dimensions that its conditions name."""
        ordered: dict[str, None] = {}

        def visit(name: str) -> None:
            for field in itertools.chain.from_iterable(_alternatives(name)):
                if field in self.dimensions and field not in ordered:
                    visit(field)
            ordered[name] = None

        for name in self.dimensions:
            visit(name)
        return tuple(ordered)

    def _corners(self) -> Iterator[dict[str, Any]]:
        """Each probe of each dimension, with all others at their first, then at their last probe.

        So a rule on one field is met, and an order between two (scale_min <= scale_max).
        """
        probes = {name: dimension.probes(value) for name, value in self.dimensions.items()}
        for end in (0, -1):
            others = {name: values[end] for name, values in probes.items()}
            yield others
            for name, values in probes.items():
                yield from ({**others, name: value} for value in values)

    def _check_names(self, base: Mapping[str, Any]) -> None:
        own = base.get("own")
        entries = {f"{OWN_PREFIX}{name}": value for name, value in own.items()} if isinstance(own, Mapping) else {}
        fixed = {**base, **entries}
        for name in self.dimensions:
            if name in fixed:
                raise ConfigError(
                    f"{name} is a dimension, but base fixes it to {fixed[name]!r}. Remove one of the two."
                )
            for kind, recipe in (base.get(BY_FAMILY) or {}).items():
                if name in recipe:
                    raise ConfigError(
                        f"{name} is a dimension, but {BY_FAMILY} fixes it to {recipe[name]!r} for {kind}. "
                        "Remove one of the two."
                    )
        named = {*self.dimensions, *base}
        for name in ("teacher", "student"):
            if "pair" in named and name in named:
                raise ConfigError(
                    f"pair stands for teacher and student, but {name} is given too. Remove one of the two."
                )
        if "pair" not in self.dimensions or not self._can_read("pair", base):
            return
        paired = TrialConfig.conditions("teacher")["method"]
        without = [value for value in self.values("method", base) if as_condition(value) not in paired]
        if without:
            raise ConfigError(
                f"pair names the student, but a trial with method {without[0]!r} reads no pair. "
                f"Remove {without[0]!r} from method, or give teacher and student instead of pair."
            )

    def _check_read(self, name: str, base: Mapping[str, Any]) -> None:
        """Of several ways, tell the one that lacks least, and rather a switch than the method."""
        ways = (self._lacking(way, base) for way in _alternatives(name))
        lacking = min(ways, key=lambda way: (len(way), "method" in way))
        for field, values in lacking.items():
            raise ConfigError(
                f"{name} is read only when {field} is {_either(values)}, "
                f"but every trial here has {field} {_either(self.values(field, base), quote=True)}. "
                f"Remove the dimension or change {field}."
            )

    def _can_read(self, name: str, base: Mapping[str, Any]) -> bool:
        return not all(self._lacking(way, base) for way in _alternatives(name))

    def _lacking(self, way: _Way, base: Mapping[str, Any]) -> _Way:
        """The conditions that no trial meets."""
        return {field: values for field, values in way.items() if not _meet(self.values(field, base), values)}


def _alternatives(name: str) -> list[_Way]:
    """TrialConfig's; a pair is read when a teacher is, and an entry of `own` when `own` is."""
    if name.startswith(OWN_PREFIX):
        return TrialConfig.alternatives("own")
    return TrialConfig.alternatives("teacher" if name == "pair" else name)


def _meet(taken: Iterable[Any], values: Iterable[Any]) -> bool:
    return not {as_condition(value) for value in taken}.isdisjoint(values)


def _expand(fields: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(fields)
    if "pair" in fields:
        pair = resolve_pair(str(fields.pop("pair")))
        fields |= {"teacher": pair.teacher.model, "student": pair.student.model}
    fields = _of_its_teacher(fields)
    recipes = fields.pop(BY_FAMILY, None)
    return fields if recipes is None else _with_recipes(fields, recipes)


def _of_its_teacher(fields: dict[str, Any]) -> dict[str, Any]:
    """What BY_TEACHER says of this trial's teacher.

    Raises:
        ConfigError: `teacher_weights` is no mapping of networks, or stands beside `teacher_checkpoint`.
    """
    teacher = str(fields.get("teacher", TrialConfig.model_fields["teacher"].default))
    if "teacher_weights" in fields:
        weights = fields.pop("teacher_weights")
        if not isinstance(weights, Mapping) or "teacher_checkpoint" in fields:
            raise ConfigError(
                f"teacher_weights must map teachers to files, and stand without teacher_checkpoint, got {weights!r}."
            )
        by_model = {network_model(str(name)): place for name, place in weights.items()}
        if teacher in by_model:
            fields["teacher_checkpoint"] = by_model[teacher]
    for name in ("teacher_classes", "teacher_synonyms"):
        given = fields.get(name)
        if isinstance(given, Mapping) and given and all(is_ready(str(key)) for key in given):
            if teacher in given:
                fields[name] = given[teacher]
            else:
                del fields[name]
    return fields


def _with_recipes(fields: dict[str, Any], recipes: Any) -> dict[str, Any]:
    """`by_family`: how a network of a family is trained, as student over the fixed fields, as teacher over its recipe.

    Raises:
        ConfigError: no such family, or a field that is no part of a recipe.
    """
    if not isinstance(recipes, Mapping) or not all(isinstance(recipe, Mapping) for recipe in recipes.values()):
        raise ConfigError(f"{BY_FAMILY} must map families to fields of a recipe, got {recipes!r}.")
    for name, recipe in recipes.items():
        if name not in get_args(Family):
            raise ConfigError(unknown("family", str(name), get_args(Family)))
        for field in recipe:
            if field not in Recipe.model_fields or field in _SHARED:
                raise ConfigError(f"{BY_FAMILY} has {field!r}, which is no field that families can differ in.")

    def of(role: str) -> dict[str, Any]:
        return dict(recipes.get(family(str(fields.get(role, TrialConfig.model_fields[role].default))), {}))

    if fields.get("method") == "collaborative" and of("student") != of("teacher"):
        raise ConfigError(
            f"collaborative trains both students by one recipe, but {BY_FAMILY} has two for {fields['student']!r} and "
            f"{fields['teacher']!r}. Fix the recipe in base instead."
        )
    own = fields.get("teacher_recipe") or {}
    return {**fields, **of("student"), "teacher_recipe": {**own, **of("teacher")}}


def _refuse_unknown(names: Iterable[str]) -> None:
    for name in names:
        if name in _NESTED:
            raise ConfigError(f"{name} holds fields of its own, so it cannot be a dimension. Fix it in base instead.")
        if name.startswith(OWN_PREFIX) and name.removeprefix(OWN_PREFIX).isidentifier():
            continue
        if name not in NAMES:
            raise ConfigError(unknown("field", name, NAMES))


def _either(values: Iterable[Any], *, quote: bool = False) -> str:
    *others, last = (repr(value) if quote else str(value) for value in values)
    return f"{', '.join(others)} or {last}" if others else last


def _unique(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(items))
