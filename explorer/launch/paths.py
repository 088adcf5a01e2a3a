"""Paths as workers see them, who run in folders of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from explorer.launch import loggers
from explorer.storage import urls
from explorer.study import StudySpec
from trainables import sources
from trainables.data.catalogue import absolute
from trainables.kept import store


def with_absolute_paths(spec: StudySpec) -> StudySpec:
    """Every path that a spec names."""
    base = dict(spec.base)
    if "data" in base:
        base["data"] = absolute(base["data"])
    if base.get("teacher_checkpoint"):
        base["teacher_checkpoint"] = store.absolute(base["teacher_checkpoint"])
    if base.get("encoder_weights"):
        base["encoder_weights"] = store.absolute(base["encoder_weights"])
    base, space = with_absolute_teachers(base), with_absolute_teachers(spec.space)
    enqueue = [with_absolute_teachers(point) for point in spec.enqueue]
    storage = spec.storage and urls.absolute(spec.storage)
    paths = {name: store.absolute(path) for name in ("storage_path", "warm_start") if (path := getattr(spec, name))}
    if spec.mlflow:
        paths["mlflow"] = loggers.absolute(spec.mlflow)
    return spec.model_copy(update={"base": base, "space": space, "enqueue": enqueue, "storage": storage, **paths})


def with_absolute_teachers(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Paths in the names of teachers that are good already, wherever fields or dimensions name them."""

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(one) for one in value]
        if not isinstance(value, str):
            return value
        teacher, arrow, student = value.rpartition(">")
        return f"{sources.absolute(teacher)}>{student}" if arrow else sources.absolute(value)

    found = dict(fields)
    for name in ("teacher", "pair"):
        if name in found:
            found[name] = named(found[name])
    if isinstance(weights := found.get("teacher_weights"), Mapping):
        found["teacher_weights"] = {name: store.absolute(str(place)) for name, place in weights.items()}
    for name in ("teacher_classes", "teacher_synonyms"):
        if isinstance(found.get(name), Mapping):
            found[name] = {sources.absolute(str(key)): value for key, value in found[name].items()}
    return found
