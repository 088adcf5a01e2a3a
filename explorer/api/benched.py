"""The milliseconds of students on a device, out of the bench.json files that a spec names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.api.given import path
from trainables.errors import StudyError

if TYPE_CHECKING:
    from explorer.study import StudySpec

_SETTING = ("device", "provider", "threads")


def with_milliseconds(spec: StudySpec) -> StudySpec:
    """The spec with `latency` by student, in place of files, since what runs the sweep may not see them.

    Raises:
        StudyError: a file that `heteroakd bench` did not write, files of several devices, or rows of a student between
            which `latency_of` does not choose.
    """
    if spec.latency is None or isinstance(spec.latency, dict):
        return spec
    files = [spec.latency] if isinstance(spec.latency, str) else spec.latency
    benches = {file: _read(path(file)) for file in files}
    settings = {tuple(bench[name] for name in _SETTING) for bench in benches.values()}
    if len(settings) > 1:
        told = "; ".join(sorted(f"{device}, {provider}, {threads} threads" for device, provider, threads in settings))
        raise StudyError(f"latency names files of several devices or settings: {told}. Name those of one.")
    wanted = set((spec.latency_of or "").split())
    found: dict[str, dict[str, float]] = {}
    for bench in benches.values():
        for row in bench["results"]:
            what = f"{row['precision']} {row['height']}x{row['width']}"
            if wanted <= {*what.split()}:
                found.setdefault(row["network"], {})[what] = row["p50_ms"]
    kinds = sorted({what for rows in found.values() for what in rows})
    if len(kinds) > 1:
        raise StudyError(f"latency holds {', '.join(kinds)}, which cannot be compared. Set latency_of to one of them.")
    if not found:
        raise StudyError(f"No row of {', '.join(files)} is {spec.latency_of!r}. Set latency_of to what was measured.")
    return spec.model_copy(update={"latency": {network: rows[kinds[0]] for network, rows in found.items()}})


def _read(file: Path) -> dict[str, Any]:
    try:
        bench = json.loads(file.read_text(encoding="utf-8"))
        for row in bench["results"]:
            row["network"], row["precision"], row["height"], row["width"], float(row["p50_ms"])
        return {**{name: bench[name] for name in _SETTING}, "results": bench["results"]}
    except OSError as error:
        raise StudyError(f"latency names {file}, which cannot be read: {error.strerror}. Give a bench.json.") from None
    except (ValueError, KeyError, TypeError):
        raise StudyError(f"latency names {file}, which is no file that `heteroakd bench` wrote.") from None
