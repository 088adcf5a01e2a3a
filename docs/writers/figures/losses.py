"""What a step of each criterion costs: benchmarks/losses.json."""

from __future__ import annotations

from typing import Any

from writers.words import count, short, table, threads


def setting(found: Any) -> str:
    """On what the criteria were measured."""
    own = found["setting"]
    kd = row(found, "kd")
    cells, pixels = (" x ".join(map(str, own[key])) for key in ("grid", "crop"))
    return (
        f"One step of each criterion alone, forward and backward: batch {own['batch']}, {own['classes']} classes, maps "
        f"of {cells} cells, labels of {pixels} pixels. The channels are those of `{own['teacher']}` as teacher and "
        f"`{own['student']}` as student. {own['device']}, {threads(own['threads'])}. "
        f"`kd` takes {count(kd['step_ms'])} ms, and {count(kd['peak_mib'])} MiB above its maps."
    )


def costs(found: Any) -> str:
    """Time and memory of every method, in those of kd."""
    return table(
        ("method", "time, x `kd`", "memory, x `kd`", "time, ms", "memory, MiB", "own weights, millions"),
        (
            (
                f"`{own['method']}`",
                short(own["time_over_kd"]),
                short(own["memory_over_kd"]),
                count(own["step_ms"]),
                count(own["peak_mib"]),
                f"{own['weights_millions']:.2f}",
            )
            for own in found["losses"]
        ),
        right=range(1, 6),
    )


def row(found: Any, method: str) -> Any:
    return next(own for own in found["losses"] if own["method"] == method)
