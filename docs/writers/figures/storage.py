"""What a suggestion and a result cost, by storage: benchmarks/storage.json."""

from __future__ import annotations

from typing import Any

from writers.words import count, table


def costs(found: Any) -> str:
    """One row a storage, with the machine's load before, since some ran beside other work."""
    head = ("storage", "trials", "a suggestion, ms", "of it CPU, ms", "a result, ms", "driver, MiB", "load before")
    return table(
        head,
        (
            (
                name,
                count(own["trials"]),
                f"{own['suggestion_ms']['wall_median']:.1f}",
                f"{own['suggestion_ms']['cpu_median']:.1f}",
                f"{own['result_ms']['wall_median']:.1f}",
                count(own["rss_mib"][str(own["trials"])]),
                f"{own['load_before']:.1f}",
            )
            for name, own in found.items()
        ),
        right=range(1, 7),
    )
