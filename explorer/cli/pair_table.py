"""The tables behind `heteroakd pairs`."""

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


_RANKED = {
    "score\n(points)": ("score", 100, "+.2f"),
    "mIoU\n(%)": ("miou", 100, ".2f"),
    "mended\n(%)": ("mended", 100, ".1f"),
    "spoiled\n(%)": ("spoiled", 100, ".1f"),
    "calibration\nerror (%)": ("calibration_error", 100, ".1f"),
    "best\ntemperature": ("temperature", 1, ".2f"),
    "CKA": ("similarity", 1, ".2f"),
    "M params": ("parameters_millions", 1, ".1f"),
    "ms a\ncrop": ("forward_ms", 1, ".1f"),
}


def rank_table(ranked: pd.DataFrame, *, title: str) -> Table:
    """Teachers for one student with all evidence, from `explorer.rank_teachers`."""
    table = Table(title=title)
    table.add_column("rank", justify="right")
    for column in ("teacher", "family"):
        table.add_column(column, overflow="fold")
    for column in _RANKED:
        table.add_column(column, justify="right", overflow="fold")
    for row in ranked.to_dict("records"):
        numbers = (_number(row[name], times, form) for name, times, form in _RANKED.values())
        table.add_row(str(row["rank"]), row["teacher"], row["family"], *numbers)
    return table


def rank_lines(ranked: pd.DataFrame, *, steps: int) -> Iterator[str]:
    """What the columns are, and what the score is not."""
    alone, wrong = (100 * float(ranked[name].iloc[0]) for name in ("student_miou", "student_error"))
    yield f"The student alone has {alone:.2f} % mIoU on val after {steps} steps; {wrong:.1f} % of its pixels are wrong."
    yield "mended: of those, the share at which the teacher is right; spoiled: of its right ones, where that is wrong."
    yield "score: points of mIoU that the student would gain if it were mended so and nowhere spoiled. It orders"
    yield "teachers and forecasts no gain; calibration and CKA (likeness of features) are not in it."


def _number(value: float, times: float, form: str) -> str:
    return "-" if value != value else format(times * value, form)


def _is_restricted(pair: Any, role: str) -> bool:
    return any("non-commercial" in getattr(pair, f"{role}_{name}_licence") for name in ("code", "weights"))
