"""The table behind `heteroakd pairs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd


def pair_table(pairs: pd.DataFrame, *, title: str) -> Table:
    """Every pair with both networks' cost, from `explorer.pairs`."""
    table = Table(title=title)
    for column in ("pair", "direction", "teacher", "student"):
        table.add_column(column, overflow="fold")
    for column in ("M params", "GMAC", "stride"):
        table.add_column(f"{column}\nteacher -> student", justify="right", overflow="fold")
    for pair in pairs.itertuples():
        table.add_row(
            pair.pair,
            pair.direction,
            pair.teacher,
            pair.student,
            f"{pair.teacher_parameters_millions:.1f} -> {pair.student_parameters_millions:.1f}",
            f"{pair.teacher_gmac:.1f} -> {pair.student_gmac:.1f}",
            f"{pair.teacher_stride} -> {pair.student_stride}",
        )
    return table
