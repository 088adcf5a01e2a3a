"""How fast images come, and how fast a step needs them: benchmarks/data.json."""

from __future__ import annotations

from typing import Any

from writers.words import count, table

_CACHES = {"cold": "decoded each time", "disk": "`image_cache: disk`", "memory": "`image_cache: memory`"}


def rates(found: Any) -> str:
    """Images a second by how they are kept, read by the training process, with crops made on the CPU."""
    head = ("images", "crop, batch", *_CACHES.values(), "a step needs")
    return table(
        head,
        (
            (
                own["set"],
                f"{own['crop'][0]} x {own['crop'][1]}, {own['batch']}",
                *(_rate(rate(own, cache)) for cache in _CACHES),
                f"{own['needed_per_s']:.1f}",
            )
            for own in found["sets"]
        ),
        right=range(2, len(head)),
    )


def setting(found: Any) -> str:
    """On what the feed was measured."""
    own = found["setting"]
    return (
        f"Images a second, of {own['images']} images, on {own['cores']} cores of {own['device']}. The step is "
        f"`{own['teacher']}` that teaches `{own['student']}`, on one thread."
    )


def rate(own: Any, cache: str) -> float:
    wanted = {"cache": cache, "augment_on": "cpu", "num_workers": 0}
    return next(float(one["samples_per_s"]) for one in own["read"] if wanted.items() <= one.items())


def _rate(value: float) -> str:
    return count(value) if value >= 10 else f"{value:.1f}"
