"""A step's time and memory against batch, classes and crop: benchmarks/scaling.json."""

from __future__ import annotations

from typing import Any

from writers.words import count, table, threads


def steps(found: Any) -> str:
    """One row a size; the first is the one that the others change."""
    return table(
        ("batch", "classes", "crop", "step, ms", "ns a pixel", "memory, MiB"),
        (
            (
                str(own["batch"]),
                str(own["classes"]),
                " x ".join(map(str, own["crop"])),
                count(own["step_ms"]),
                count(own["ns_a_pixel"]),
                count(own["peak_mib"]),
            )
            for own in found["steps"]
        ),
        right=range(6),
    )


def setting(found: Any) -> str:
    """On what the steps were measured."""
    own = found["setting"]
    return f"HeteroAKD, `{own['teacher']}` teaches `{own['student']}`, {own['device']}, {threads(own['threads'])}."
