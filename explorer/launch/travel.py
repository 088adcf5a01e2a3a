"""What a study needs in order to run on other machines: our code, paths that mean the same there, one teacher cache."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from explorer.launch import loggers
from explorer.redact import holds_password
from explorer.storage import urls
from explorer.study import StudySpec
from trainables import own, sources
from trainables.data import DATASETS
from trainables.data.few import Few
from trainables.data.own import Own
from trainables.errors import StudyError
from trainables.kept import store
from trainables.models.build import is_own

PACKAGES = ("explorer", "trainables", "search_spaces", "dashboards")


def environment(directory: PurePosixPath, code: Iterable[str] = ()) -> dict[str, Any]:
    """Ray's `runtime_env`: our packages from where they are installed, so that a cluster needs only what they import.

    Teachers are cached beside the study, which all nodes see; the default cache would be each node's own.

    Args:
        code: references to the user's own code (see `own_code`), whose packages go along.

    Raises:
        HeteroakdError: a reference to nothing that is here.
    """
    theirs = dict.fromkeys(str(own.source(reference)) for reference in code)
    return {
        "py_modules": [*(str(_folder(package)) for package in PACKAGES), *theirs],
        "excludes": ["__pycache__"],
        "env_vars": {
            "HETEROAKD_CACHE": str(directory.parent / "teachers"),
            "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
            "RAY_AIR_NEW_OUTPUT": "0",
        },
    }


def own_code(spec: StudySpec) -> list[str]:
    """Each `package.module:name` that a study's trials, or its driver, may import."""
    base, space = spec.trial_base, spec.search_space
    models = [*space.students(base), *(teacher for teacher, _ in space.pairs(base))]
    found = [name for name in space.values("method", base) if own.is_reference(name)]
    found += [name for name in models if is_own(name)]
    data = Own.parse(str(space.values("data", base)[0]))
    hook = [spec.hook] if spec.hook else []
    return list(dict.fromkeys([*found, *([data.reference] if data else []), *hook]))


def check(spec: StudySpec, directory: PurePosixPath) -> None:
    """Refuse paths that would mean something else on the cluster.

    Raises:
        StudyError: one sentence.
    """
    check_folder(directory)
    data = Few.parse(str(spec.trial_base.get("data") or "earth")).data
    name, _, path = data.partition(":")
    theirs = Own.parse(data)
    here = theirs.path if theirs else path if name in DATASETS else data
    _absolute("data", here)
    _absolute("teacher_checkpoint", str(spec.trial_base.get("teacher_checkpoint") or ""))
    for place in (spec.trial_base.get("teacher_weights") or {}).values():
        _absolute("teacher_weights", str(place))
    for teacher, _ in spec.search_space.pairs(spec.trial_base):
        if sources.is_ready(teacher) and (local := sources.local_path(teacher)):
            _absolute(f"the path in {teacher!r}", local)
    for name, place in (("storage_path", spec.storage_path), ("warm_start", spec.warm_start)):
        if place and not store.is_uri(place):
            _absolute(name, place)
    if any(place and holds_password(place) for place in (spec.storage, spec.storage_path, spec.mlflow)):
        raise StudyError(
            "A storage's URL with a password would stay in the cluster's records. Put it into an environment variable "
            "NAME there and give storage, or mlflow, env:NAME."
        )
    if spec.storage and (file := urls.sqlite_file(spec.storage)):
        _absolute("the storage's file", file)
    if spec.mlflow and loggers.absolute(spec.mlflow) != spec.mlflow:
        raise StudyError(f"mlflow must name its file by an absolute path, such as file:///PATH, got {spec.mlflow!r}.")


def check_folder(directory: PurePosixPath) -> None:
    """Raises:
    StudyError: a study's folder that the cluster would throw away.
    """
    if not directory.is_absolute():
        raise StudyError(
            f"--out must be an absolute path on storage that all nodes see, got {str(directory)!r}: a cluster throws "
            "its working folder away."
        )


def _absolute(what: str, path: str) -> None:
    if path and not PurePosixPath(path).is_absolute():
        raise StudyError(f"{what} must be an absolute path that all nodes of the cluster see, got {path!r}.")


def _folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent
