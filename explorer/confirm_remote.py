"""A confirmation through Ray Client, as `remote.py` has a sweep: all of it runs on the cluster."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from rich.console import Console

from explorer import confirm_run, remote, travel
from explorer.confirm import open_study
from explorer.confirm_runs import num_open
from explorer.study import SPEC_FILE, StudySpec


def confirm(directory: Path, *, console: Console, address: str, **options: Any) -> int:
    """`confirm_run.confirm` on the cluster.

    Raises:
        HeteroakdError: as there; or a path that the cluster cannot see, or no cluster.
    """
    return _there("confirm", directory, console, address, options)


def go_on(directory: Path, *, console: Console, address: str, **options: Any) -> int:
    """`confirm_run.go_on` on the cluster; it is not asked where the folder, seen from here, has nothing open."""
    if (directory / SPEC_FILE).exists():
        study = open_study(StudySpec.of(directory), directory)
        if study is None or not num_open(study):
            return 0
    return _there("go_on", directory, console, address, options)


def _there(verb: str, directory: Path, console: Console, address: str, options: dict[str, Any]) -> int:
    folder = PurePosixPath(directory)
    travel.check_folder(folder)
    code = travel.own_code(StudySpec.of(directory)) if (directory / SPEC_FILE).exists() else []
    return remote._run(address, folder, code, console, _run_there, verb, str(folder), options)


def _run_there(console: Console, verb: str, directory: str, options: dict[str, Any]) -> int:
    run = confirm_run.confirm if verb == "confirm" else confirm_run.go_on
    return run(Path(directory), console=console, address="auto", **options)
