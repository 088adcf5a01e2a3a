"""Rows that are compared by seed with the student alone and with self-training, as benchmarks/runs.py tells them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from writers.words import NONE, count, table

ALONE, SELF = "student alone", "self-training"


def rows(found: Iterable[Any], names: Sequence[str], *, seconds: str) -> str:
    """A table of mIoU and gains on test, in points.

    Args:
        names: what tells rows apart; seconds: the name of a row's CPU seconds.
    """
    head = (*names, "mIoU, %", "over the student alone", "over self-training", "CPU s")
    cells = [
        [
            *(row[name] for name in names),
            f"{row['test']:.1f}",
            gain(row.get("over_alone")),
            gain(row.get("over_self")),
            f"{row[seconds]:.0f}",
        ]
        for row in found
    ]
    return table(head, cells, right=range(len(names), len(head)))


def gain(interval: list[float] | None) -> str:
    """A mean with its interval."""
    if interval is None:
        return NONE
    mean, low, high = interval
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def above(rows: Iterable[Any], over: str) -> int:
    """How many have the whole interval above 0."""
    return sum(row[over][1] > 0 for row in rows)


def effort(found: Any) -> str:
    """Trainings and what they took."""
    hours = sum(run["cpu_seconds"] for run in found["runs"]) / 3600
    return f"{count(len(found['runs']))} trainings took {hours:.1f} CPU hours."
