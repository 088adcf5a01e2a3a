"""What a sweep costs beside its training: benchmarks/overhead.json."""

from __future__ import annotations

from typing import Any

from writers.words import table


def times(found: Any) -> str:
    """Wall-clock and training time of a sweep and of a plain loop over the same trials."""
    return table(
        (f"{found['trials']} trials, one at a time", "in all, s", "in training steps, s", "in all / in steps"),
        (
            _row("as a sweep", found, "sweep"),
            _row("as a plain loop", found, "plain"),
        ),
        right=range(1, 4),
    )


def ratio(found: Any) -> str:
    """The sweep against the plain loop."""
    return f"The sweep takes {found['sweep_wall_over_plain_wall']:.2f} times the time of the plain loop."


def _row(name: str, found: Any, kind: str) -> tuple[str, str, str, str]:
    return (
        name,
        f"{found[f'{kind}_wall_s']:.1f}",
        f"{found[f'{kind}_training_s']:.1f}",
        f"{found[f'{kind}_wall_over_its_training']:.2f}",
    )
