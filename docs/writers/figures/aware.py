"""What fine-tuning for int8 saves: benchmarks/aware.json."""

from __future__ import annotations

from statistics import mean
from typing import Any

from writers.words import between, table


def rows(found: Any) -> str:
    """One row a student, averaged over seeds."""
    head = ("student", "mIoU of fp32, %", "int8 loses, points", "fine-tuned, it loses", "fine-tuning, CPU s")
    students = list(dict.fromkeys(row["student"] for row in found["rows"]))
    cells = []
    for student in students:
        own = [row for row in found["rows"] if row["student"] == student]
        lost = ([row[name] for row in own] for name in ("plain_lost", "tuned_lost"))
        cells.append(
            [
                f"`{student}`",
                f"{100 * mean(row['miou'] for row in own):.1f}",
                *(f"{mean(values):.2f}" + (f" ({between(values, '.2f')})" if len(own) > 1 else "") for values in lost),
                f"{mean(row['seconds'] for row in own):.0f}",
            ]
        )
    seeds = len({row["seed"] for row in found["rows"]})
    over = "one seed" if seeds == 1 else f"mean (least to most) of {seeds} seeds"
    return (
        f"Students of `earth` taught by kd, {found['recipe']['steps']} steps, then {found['steps']} steps under "
        f"rounding; {over}, on val, `python benchmarks/aware.py`:\n\n" + table(head, cells, right=range(1, len(head)))
    )
