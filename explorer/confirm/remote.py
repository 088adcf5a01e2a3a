"""A confirmation through Ray Client, as `launch/remote.py` has a sweep: all of it runs on the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from explorer.confirm import run
from explorer.launch import remote
from explorer.results.confirmed import open_study
from explorer.results.confirmed_runs import num_open
from explorer.study import SPEC_FILE, StudySpec


def confirm(directory: Path, *, console: Console, address: str, **options: Any) -> int:
    """`run.confirm` on the cluster.

    Raises:
        HeteroakdError: as there; or a path that the cluster cannot see, or no cluster.
    """
    return remote.with_study(address, directory, console, _confirm_there, options)


def go_on(directory: Path, *, console: Console, address: str, **options: Any) -> int:
    """`run.go_on` on the cluster; it is not asked where the folder, seen from here, has nothing open."""
    if (directory / SPEC_FILE).exists():
        study = open_study(StudySpec.of(directory), directory)
        if study is None or not num_open(study):
            return 0
    return remote.with_study(address, directory, console, _go_on_there, options)


def _confirm_there(console: Console, directory: str, options: dict[str, Any]) -> int:
    return run.confirm(Path(directory), console=console, address="auto", **options)


def _go_on_there(console: Console, directory: str, options: dict[str, Any]) -> int:
    return run.go_on(Path(directory), console=console, address="auto", **options)
