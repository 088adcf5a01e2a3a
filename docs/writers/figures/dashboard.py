"""How fast the live dashboard is: benchmarks/dashboard.json."""

from __future__ import annotations

from typing import Any

from writers.words import count, table

_ROWS = {"first_paint_ms": "first paint", "first_figure_ms": "first figure drawn", "open_trial_ms": "a trial opened"}


def times(found: Any) -> str:
    """Seconds that a reader waits, by what he does."""
    rows = [(told, *_seconds(found[key])) for key, told in _ROWS.items()]
    rows += [(f"a filter, until `{view}` is drawn anew", *_seconds(own)) for view, own in found["filter_ms"].items()]
    return table(("what", "median, s", "most, s"), rows, right=[1, 2])


def setting(found: Any) -> str:
    """Of what study."""
    return (
        f"A study of {count(found['trials'])} trials, in headless Chromium on {found['cores']} cores without a "
        f"graphics card. The browser is sent {found['mib']['median']:.1f} MiB."
    )


def _seconds(own: Any) -> tuple[str, str]:
    return f"{own['median'] / 1000:.2f}", f"{own['most'] / 1000:.2f}"
