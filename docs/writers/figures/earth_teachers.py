"""The teachers that come with `earth`: benchmarks/earth_teachers.json."""

from __future__ import annotations

from typing import Any

from writers.words import percent, table


def teachers(found: Any) -> str:
    """The two that come with `earth`."""
    head = ("teacher", "network", "taught by", "steps", "val, %", "test, %", "MB", "minutes")
    cells = [
        [
            f"`earth:{kind}`",
            f"`{own['network']}`",
            "labels and `earth:cnn`" if own["method"] == "kd" else "labels",
            str(found["recipe"]["steps"]),
            percent(own["val"], 1),
            percent(own["test"], 1),
            f"{own['bytes'] / 1e6:.1f}",
            f"{own['seconds'] / 60:.0f}",
        ]
        for kind, own in ((kind, found[kind]) for kind in ("cnn", "transformer"))
    ]
    return table(head, cells, right=range(3, len(head)))
