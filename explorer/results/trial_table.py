"""All trials of a study as a CSV and a parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from trainables.kept import atomic

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # with which a spreadsheet takes a text for something to run


def write(trials: pd.DataFrame, out: Path) -> None:
    """Write `trials.csv` and `trials.parquet`, columns as `dashboards.frames` has them.

    In the CSV, a text that a spreadsheet would run has a ' in front; in the parquet file texts are as they are, and a
    column that mixes numbers with texts is all text.

    Raises:
        Interrupted: the disk is full.
    """
    texts = [name for name in trials if not pd.api.types.is_numeric_dtype(trials[name])]
    harmless = trials.assign(**{name: trials[name].map(_harmless) for name in texts})
    harmless.columns = [_harmless(name) for name in trials]
    atomic.write_text(out / "trials.csv", harmless.to_csv(index=False, lineterminator="\n"))
    typed = trials.assign(**{name: trials[name].map(_text) for name in texts})
    atomic.write(out / "trials.parquet", lambda part: typed.to_parquet(part, index=False))


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA) else _text(value)


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()  # a lone surrogate is no text of any file
    return None if value is None or pd.isna(value) else str(value)
