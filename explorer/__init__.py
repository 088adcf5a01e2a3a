"""The Python door: `import explorer`, then `explorer.sweep(...)` and a Study to ask. The command line uses it too.

Each name is looked up when it is first used, so that importing this package costs nothing and needs no PyTorch, Ray,
Optuna, pandas or plotly. What lies in the wings below (everything that talks to Ray Tune, the Optuna storage or a
study's folder) is for the door, not for users.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer.api.bundle import Bundle, bench, predict, push
    from explorer.api.checks import check, check_data, pairs
    from explorer.api.imports import DataImport, import_data
    from explorer.api.ranking import rank_teachers
    from explorer.api.splitting import split_data
    from explorer.api.study import Study, open_study
    from explorer.api.sweeps import dry_run, resume, submit, sweep
    from explorer.api.teachers import check_teacher
    from explorer.api.verbs import serve_dashboard, serve_storage, train
    from explorer.study import StudySpec
    from trainables.config import TrialConfig
    from trainables.errors import (
        CheckpointError,
        ConfigError,
        DataError,
        HeteroakdError,
        Interrupted,
        ModelError,
        StudyError,
        TeacherError,
    )

__all__ = [
    "sweep",
    "resume",
    "open_study",
    "dry_run",
    "submit",
    "Study",
    "StudySpec",
    "Bundle",
    "predict",
    "push",
    "bench",
    "train",
    "TrialConfig",
    "pairs",
    "rank_teachers",
    "check",
    "check_data",
    "split_data",
    "import_data",
    "DataImport",
    "check_teacher",
    "serve_dashboard",
    "serve_storage",
    "HeteroakdError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "Interrupted",
    "ModelError",
    "StudyError",
    "TeacherError",
]

_HOMES = {
    "explorer.api.bundle": ("Bundle", "bench", "predict", "push"),
    "explorer.api.checks": ("check", "check_data", "pairs"),
    "explorer.api.imports": ("DataImport", "import_data"),
    "explorer.api.ranking": ("rank_teachers",),
    "explorer.api.splitting": ("split_data",),
    "explorer.api.study": ("Study", "open_study"),
    "explorer.api.sweeps": ("sweep", "resume", "dry_run", "submit"),
    "explorer.api.teachers": ("check_teacher",),
    "explorer.api.verbs": ("train", "serve_dashboard", "serve_storage"),
    "explorer.study": ("StudySpec",),
    "trainables.config": ("TrialConfig",),
    "trainables.errors": (
        "HeteroakdError",
        *("CheckpointError", "ConfigError", "DataError", "Interrupted", "ModelError", "StudyError", "TeacherError"),
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOME[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
