"""Who taught whom in collaborative trials, from their logs; the storage holds only what is common to all trials."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import optuna
import pandas as pd

from dashboards.frames import COLUMNS
from explorer.search import warm
from explorer.search.arms import trial_directory
from explorer.search.plan import Role
from trainables.kept.store import open_store

Rows = tuple[tuple[int, float, float], ...]
_LARGEST = 2**24  # bytes of a log; a thousand reports take 2^20
_SHARES = ("regions_to_student", "pixels_to_student")


def frame(studies: dict[Role, optuna.Study], root: Path | str) -> pd.DataFrame:
    """The frame `taught`; a log that is not there or cannot be reached adds no row.

    Args:
        root: where the trials' folders are: a path, or a URI.
    """
    rows = [
        (role, trial.number, *row)
        for role, study in studies.items()
        for trial in warm.own(study)
        if trial.user_attrs.get("method") == "collaborative"
        for row in _rows(root, trial_directory(role, trial.number), max(trial.intermediate_values, default=0))
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS["taught"])).astype(COLUMNS["taught"])


def _rows(root: Path | str, directory: str, step: int) -> Rows:
    try:
        return _logged(root, directory, step) if step else ()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # ValueError: ours and JSON's
        return ()


@lru_cache(maxsize=4096)
def _logged(root: Path | str, directory: str, last: int) -> Rows:
    """Step and shares of each report to this step; read again when the storage knows of a later one."""
    with open_store(root, directory).read("log.jsonl") as path:
        if path.stat().st_size > _LARGEST:
            return ()
        reports = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return tuple((report["step"], *_shares(report["terms"])) for report in reports if report["step"] in range(last + 1))


def _shares(terms: dict[str, Any]) -> tuple[float, float]:
    regions, pixels = (float(terms.get(name, math.nan)) for name in _SHARES)
    return regions, pixels
