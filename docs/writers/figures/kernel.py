"""The forms of L_hakd against a copy of their bytes: benchmarks/kernel.json."""

from __future__ import annotations

from typing import Any

from writers.words import count, table


def forms(found: Any) -> str:
    """Each form's time and memory, against the term-by-term one."""
    rows = []
    for shape in shapes(found):
        plain = form(found, shape, "plain")
        for own in (one for one in found["kernels"] if one["shape"] == shape):
            rows.append((
                " x ".join(map(str, shape)),
                f"`{own['form']}`",
                f"{own['step_ms']:.1f}",
                f"{own['step_ms'] / plain['step_ms']:.2f}",
                f"{own['peak_mib']:.1f}",
                f"{own['peak_mib'] / plain['peak_mib']:.2f}",
                count(own["over_floor"]),
            ))  # fmt: skip
    head = (
        "batch x classes x cells",
        "form",
        "time, ms",
        "x `plain`",
        "memory, MiB",
        "x `plain`",
        "time over the floor",
    )
    return table(head, rows, right=range(2, 7))


def shapes(found: Any) -> list[list[int]]:
    return [one["shape"] for one in found["kernels"] if one["form"] == "plain"]


def form(found: Any, shape: list[int], name: str) -> Any:
    return next(one for one in found["kernels"] if (one["shape"], one["form"]) == (shape, name))
