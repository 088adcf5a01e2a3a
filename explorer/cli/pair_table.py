"""The table behind `heteroakd pairs`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd


def pair_table(pairs: pd.DataFrame, *, title: str) -> Table:
    """Every pair with both networks' cost, from `explorer.pairs`, and which network's code or weights are licensed for
    non-commercial use alone. Under it, every licence.
    """
    table = Table(title=title)
    for column in ("pair", "direction", "teacher", "student"):
        table.add_column(column, overflow="fold")
    for column in ("M params", "GMAC", "stride"):
        table.add_column(f"{column}\nteacher -> student", justify="right", overflow="fold")
    table.add_column("non-commercial", overflow="fold")
    for pair in pairs.itertuples():
        table.add_row(
            pair.pair,
            pair.direction,
            pair.teacher,
            pair.student,
            f"{pair.teacher_parameters_millions:.1f} -> {pair.student_parameters_millions:.1f}",
            f"{pair.teacher_gmac:.1f} -> {pair.student_gmac:.1f}",
            f"{pair.teacher_stride} -> {pair.student_stride}",
            ", ".join(role for role in ("teacher", "student") if _is_restricted(pair, role)) or "-",
        )
    return table


def licence_lines(pairs: pd.DataFrame) -> Iterator[str]:
    """A line for each network: the licences of its code, its published weights and their data, as the sources state."""
    told: dict[str, str] = {}
    for pair in pairs.itertuples():
        for role in ("teacher", "student"):
            code, weights, data = (getattr(pair, f"{role}_{name}_licence") for name in ("code", "weights", "data"))
            told[getattr(pair, role)] = f"code {code}; weights {weights}; data {data}"
    for model, text in sorted(told.items()):
        yield f"{model}: {text}"


def _is_restricted(pair: Any, role: str) -> bool:
    return any("non-commercial" in getattr(pair, f"{role}_{name}_licence") for name in ("code", "weights"))
