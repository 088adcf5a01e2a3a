"""What an earlier study of another pair saves and costs: benchmarks/transfer.json."""

from __future__ import annotations

from typing import Any

from writers.words import count, listed, table

COLD, WARM = "cold", "warm_start"
_NAMES = ("other", "heed")


def setting(found: Any) -> str:
    """What was searched twice."""
    runs = found["worlds"] * len(found["families"])
    shares = listed(f"{name} {100 * own['other']:.0f} %" for name, own in found["relations"].items())
    return (
        f"{count(runs)} worlds, {found['worlds']} of each of {len(found['families'])} families, are searched first. "
        "Then a second world is searched with and without the first search as its `warm_start`, by `belief` without a "
        f"pruner, {found['workers']} trials at a time. So much of the second truth is another world's: {shares}. "
        "Regret in points of the true mean of the recommended config, after so many trials: mean ± standard error; "
        "less: what `warm_start` takes off it, world by world."
    )


def table_of_regrets(found: Any) -> str:
    """By relation, regret without and with the earlier study, and the difference."""
    rows = []
    for name, own in found["relations"].items():
        for kind in (COLD, WARM):
            cells = zip(own[kind]["regret"], own[kind]["error"], strict=True)
            rows.append((name, f"`{WARM}`" if kind == WARM else "without", *(f"{a:.2f} ± {b:.2f}" for a, b in cells)))
        cells = zip(own[WARM]["less"], own[WARM]["less_error"], strict=True)
        rows.append((name, "**less**", *(f"{a:+.2f} ± {b:.2f}" for a, b in cells)))
    head = ("second world", "search", *map(str, found["marks"]))
    return table(head, rows, right=range(2, len(head)))


def reading(found: Any) -> str:
    """Trials saved, where it harms, and how far the earlier study is heeded."""
    early, last = found["marks"][len(found["marks"]) // 2 - 1], found["marks"][-1]
    parts = []
    for mark in (early, last):
        needed = listed(f"{name} {trials(found, name, mark)}" for name in found["relations"])
        parts.append(f"what the search without it has after {mark} trials, after {needed}")
    heeds = listed(f"{name} {own['heed']:.2f}" for name, own in found["relations"].items())
    return (
        f"With it a search has {listed(parts)}. {_harm(found)} The weight of the earlier study in the end, on average: "
        f"{heeds}."
    )


def trials(found: Any, relation: str, after: int) -> str:
    """Trials with `warm_start` until its mean regret is that of the search without it after so many."""
    marks, own = found["marks"], found["relations"][relation]
    target = own[COLD]["regret"][marks.index(after)]
    for mark, regret in zip(marks, own[WARM]["regret"], strict=True):
        if regret <= target:
            return str(mark)
    return f"more than {marks[-1]}"


def _harm(found: Any) -> str:
    cells = [
        f"{name} after {mark} ({less:+.2f} ± {error:.2f})"
        for name, own in found["relations"].items()
        for mark, less, error in zip(found["marks"], own[WARM]["less"], own[WARM]["less_error"], strict=True)
        if less < -error
    ]
    if not cells:
        return "It is nowhere worse by more than a standard error."
    return f"It is worse by more than a standard error, in points: {listed(cells)}."
