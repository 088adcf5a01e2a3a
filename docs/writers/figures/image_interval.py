"""How often the interval over images holds the truth, and its cost: benchmarks/image_interval.json."""

from __future__ import annotations

from typing import Any

from writers.words import listed, percent, short


def coverage(found: Any) -> str:
    """By the number of images."""
    told = listed(f"{percent(share)} % at {size} images" for size, share in found["held"].items())
    made = f"Of {found['splits']} made-up splits of each size"
    return f"{made}, the {percent(found['level'])} % interval held the truth in {told}."


def cost(found: Any) -> str:
    """Of one interval."""
    told = listed(
        f"{short(own['ms'])} ms for {own['images']} images of {own['classes']} classes" for own in found["times"]
    )
    return f"One interval takes {told}, on a core of a busy machine."
